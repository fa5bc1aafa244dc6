"""The audit on the wire."""

from datetime import datetime

from aula_auth.domain.audit import AuditKind
from aula_common.web.schemas import Pagination, ResponseModel


class AuditEventBody(ResponseModel):
    """One entry."""

    id: str
    at: datetime
    kind: AuditKind
    actor_id: str | None
    user_id: str | None
    address: str | None
    details: dict[str, str]


class AuditList(ResponseModel):
    """A page of entries, newest first."""

    events: list[AuditEventBody]
    pagination: Pagination
