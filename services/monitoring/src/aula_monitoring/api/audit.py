"""Who looked at whom."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_common.security.principal import Principal, Role
from aula_common.web.access import user
from aula_common.web.schemas import Identifier, Page, Pagination
from aula_monitoring.api.dependencies import Services
from aula_monitoring.api.schemas.audit import AuditEntryBody, AuditList
from aula_monitoring.domain.audit import AuditKind, AuditSearch

router = APIRouter(prefix="/api/monitoring/audit", tags=["audit"])

Reader = Annotated[Principal, user(Role.ADMIN, Role.ENDUSER)]


def read_search(
    *,
    observer_id: Annotated[Identifier | None, Query(alias="observerId")] = None,
    student_id: Annotated[Identifier | None, Query(alias="studentId")] = None,
    session_id: Annotated[Identifier | None, Query(alias="sessionId")] = None,
    kind: Annotated[AuditKind | None, Query()] = None,
) -> AuditSearch:
    """The restrictions of a query."""
    return AuditSearch(
        observer_id=observer_id, student_id=student_id, session_id=session_id, kind=kind
    )


@router.get("")
async def list_audit(
    services: Services,
    reader: Reader,
    search: Annotated[AuditSearch, Depends(read_search)],
    page: Annotated[Page, Depends()],
) -> AuditList:
    """The audit, newest first: all for an administrator, for a student who observed them."""
    found = await services.audit.search(reader, search, offset=page.offset, limit=page.limit)
    return AuditList(
        entries=[AuditEntryBody.model_validate(entry) for entry in found.items],
        pagination=Pagination.of(page, found.total),
    )
