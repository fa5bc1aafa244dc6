"""What others may want to hear of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

KEPT_FOR = timedelta(days=7)
"""How long news waits for Redis before it is too old to tell."""


class NewsType(StrEnum):
    """What happened: the credits of a user run out, a quota does, a stream was never settled."""

    CREDITS_LOW = "credits.low"
    QUOTA_NEAR = "quota.near"
    RESERVATION_SWEPT = "reservation.swept"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that happened to a user. It holds ids and numbers, no free text."""

    type: NewsType
    at: datetime
    user_id: str
    team_id: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNews:
    """News that is stored and not yet published; `id` is its own, and grows for each user."""

    id: int
    news: News
