"""The record of who looked at whose conversations."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aula_common.security.principal import Role
from aula_monitoring.domain.relationship import Mode


class AuditKind(StrEnum):
    """How somebody looked: live, at what is past, or by searching."""

    OBSERVE = "observe"
    READ = "read"
    SEARCH = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One look, written before anything is shown.

    Only an observation ends; `ended_at` and `reason` are then set, once.
    """

    id: str
    at: datetime
    observer_id: str
    observer_role: Role
    kind: AuditKind
    student_id: str | None = None
    session_id: str | None = None
    mode: Mode | None = None
    ended_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Which entries to list; None does not restrict."""

    observer_id: str | None = None
    student_id: str | None = None
    session_id: str | None = None
    kind: AuditKind | None = None
