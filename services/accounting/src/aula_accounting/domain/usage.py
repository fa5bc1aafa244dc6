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
