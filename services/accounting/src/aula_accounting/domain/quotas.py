"""How much people may use in a day and in a month."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class QuotaScope(StrEnum):
    """To whom a quota applies: to each user of a tier, to each member of a team, to one user."""

    TIER = "tier"
    TEAM = "team"
    USER = "user"


class QuotaMetric(StrEnum):
    """What is counted."""

    SESSIONS = "sessions"
    MESSAGES = "messages"
    TOKENS = "tokens"
    COMPUTE_SECONDS = "computeSeconds"
    CREDITS = "credits"


class QuotaPeriod(StrEnum):
    """For how long: a day or a calendar month, both of UTC."""

    DAY = "day"
    MONTH = "month"

    def end(self, at: datetime) -> datetime:
        """When the period that holds the moment ends, and counting begins anew."""
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is QuotaPeriod.DAY:
            return midnight + timedelta(days=1)
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaKey:
    """Which quota: there is one at most for each of these."""

    scope: QuotaScope
    subject_id: str
    metric: QuotaMetric
    period: QuotaPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of a metric each person concerned may use in a period."""

    key: QuotaKey
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaHolder:
    """A person with what decides on his quotas. Tier and teams are what the caller knows."""

    user_id: str
    tier: str | None
    team_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStanding:
    """How far the tightest quota of a metric and period is used at a moment.

    A stream's tokens and credits are counted as estimated at its start and corrected at its end.
    """

    metric: QuotaMetric
    period: QuotaPeriod
    quantity: int
    used: int
    at: datetime

    @property
    def resets_at(self) -> datetime:
        """When counting begins anew."""
        return self.period.end(self.at)

    @property
    def remaining(self) -> int:
        """What is left."""
        return max(0, self.quantity - self.used)
