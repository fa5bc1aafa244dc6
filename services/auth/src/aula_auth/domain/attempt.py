"""Attempts that are counted, so that passwords can't be guessed at speed."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from aula_common.errors import RateLimitedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `count` attempts in each window."""

    count: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The attempts of a window that ends at `resets_at`."""

    count: int
    resets_at: datetime

    def require_within(self, limit: Limit, *, now: datetime) -> None:
        """Raise RateLimitedError if the limit is exceeded."""
        if self.count <= limit.count:
            return
        raise RateLimitedError(
            retry_after=max(1, math.ceil((self.resets_at - now).total_seconds())),
            limit=limit.count,
            reset_at=math.ceil(self.resets_at.timestamp()),
        )
