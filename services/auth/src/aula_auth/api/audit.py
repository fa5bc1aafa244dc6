"""The audit, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_auth.api.dependencies import Services
from aula_auth.api.schemas.audit import AuditEventBody, AuditList
from aula_auth.domain.audit import AuditKind, AuditSearch
from aula_common.security.principal import Principal, Role
from aula_common.web.access import user
from aula_common.web.schemas import Identifier, Page, Pagination

router = APIRouter(prefix="/api/auth", tags=["audit"])


@router.get("/audit")
async def search_audit(
    services: Services,
    _principal: Annotated[Principal, user(Role.ADMIN)],
    page: Annotated[Page, Depends()],
    kind: Annotated[AuditKind | None, Query()] = None,
    user_id: Annotated[Identifier | None, Query(alias="userId")] = None,
    actor_id: Annotated[Identifier | None, Query(alias="actorId")] = None,
) -> AuditList:
    """Sign-ins, changes of access, key rotations: newest first."""
    search = AuditSearch(kind=kind, user_id=user_id, actor_id=actor_id)
    found = await services.audit.search(search, offset=page.offset, limit=page.limit)
    return AuditList(
        events=[AuditEventBody.model_validate(event) for event in found.items],
        pagination=Pagination.of(page, found.total),
    )
