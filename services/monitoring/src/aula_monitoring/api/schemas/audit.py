"""The audit on the wire."""

from datetime import datetime

from aula_common.security.principal import Role
from aula_common.web.schemas import Pagination, ResponseModel
from aula_monitoring.domain.audit import AuditKind
from aula_monitoring.domain.relationship import Mode


class AuditEntryBody(ResponseModel):
    """One look. Only an observation has `endedAt` and `reason`; null while it runs."""

    id: str
    at: datetime
    observer_id: str
    observer_role: Role
    kind: AuditKind
    student_id: str | None
    session_id: str | None
    mode: Mode | None
    ended_at: datetime | None
    reason: str | None


class AuditList(ResponseModel):
    """A page of the audit, newest first."""

    entries: list[AuditEntryBody]
    pagination: Pagination
