"""What was used, and summed up."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UsageGrouping(StrEnum):
    """By what usage is summed up; days are UTC days of the settlement."""

    DAY = "day"
    MODEL = "model"
    SERVICE = "service"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Which usage: of one user or of all, settled in [since, until)."""

    user_id: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageGroup:
    """The usage under one key: a date, a model's, a service's or a user's id."""

    key: str
    streams: int
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    credits: int
    overrun: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedUsage:
    """What was used outside streams, such as for a file's conversion.

    `unsplit_tokens` are those whose side is unknown; `compute_seconds` count in quotas only.
    """

    user_id: str
    model_id: str
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    compute_seconds: int
    chat_session_id: str | None
    team_id: str | None
    tier: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReceipt:
    """What was charged for usage outside streams; its session is listed among the streams'."""

    session_id: str
    user_id: str
    model_id: str
    credits: int
    at: datetime
