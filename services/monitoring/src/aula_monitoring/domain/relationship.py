"""Who supervises whom, how closely and how long."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict


class Mode(StrEnum):
    """What the supervisor sees: the text, what happens without text, or nothing."""

    LIVE = "live"
    SUMMARY = "summary"
    OFF = "off"


class Status(StrEnum):
    """Whether a relationship stands. An ended one never stands again; a new one is made."""

    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """One supervisor and one student; valid from the first moment up to before the last."""

    id: str
    supervisor_id: str
    student_id: str
    mode: Mode
    status: Status
    valid_from: datetime
    valid_until: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def is_over(self, now: datetime) -> bool:
        """Whether it ended, by a decision or by its time."""
        expired = self.valid_until is not None and self.valid_until <= now
        return self.status is Status.ENDED or expired

    def is_active(self, now: datetime) -> bool:
        """Whether the supervisor may look at anything at that moment."""
        return not self.is_over(now) and self.valid_from <= now

    def involves(self, person_id: str) -> bool:
        """Whether the person is one of the two."""
        return person_id in {self.supervisor_id, self.student_id}


class RelationshipChanges(TypedDict, total=False):
    """What to change; a missing key leaves the field as it is."""

    mode: Mode
    status: Status
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationshipSearch:
    """Which relationships to list; None does not restrict.

    `involving` restricts to those of one person, on either side. `at` is the moment at which
    `status` is judged; with `valid` only those whose time has begun.
    """

    at: datetime
    supervisor_id: str | None = None
    student_id: str | None = None
    involving: str | None = None
    status: Status | None = None
    valid: bool = False
