"""Relationships: written by administrators, read by whom they concern."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_common.security.principal import Principal, Role
from aula_common.web.access import user, user_or_service
from aula_common.web.schemas import Identifier, Page, Pagination
from aula_monitoring.api.dependencies import Services
from aula_monitoring.api.schemas.relationship import (
    ChangeRelationshipRequest,
    CreateRelationshipRequest,
    RelationshipBody,
    RelationshipList,
)
from aula_monitoring.domain.relationship import Status

router = APIRouter(prefix="/api/monitoring/relationships", tags=["relationships"])

Admin = Annotated[Principal, user(Role.ADMIN)]
Person = Annotated[Principal, user()]
Reader = Annotated[Principal, user_or_service(scope="relationships:read")]


@router.get("")
async def list_relationships(
    services: Services,
    reader: Reader,
    page: Annotated[Page, Depends()],
    *,
    supervisor_id: Annotated[Identifier | None, Query(alias="supervisorId")] = None,
    student_id: Annotated[Identifier | None, Query(alias="studentId")] = None,
    status: Annotated[Status | None, Query()] = None,
) -> RelationshipList:
    """Relationships, newest first: all for administrators, their own for others."""
    found = await services.relationships.list_all(
        reader,
        supervisor_id=supervisor_id,
        student_id=student_id,
        status=status,
        offset=page.offset,
        limit=page.limit,
    )
    is_over = services.relationships.is_over
    return RelationshipList(
        relationships=[RelationshipBody.of(item, over=is_over(item)) for item in found.items],
        pagination=Pagination.of(page, found.total),
    )


@router.post("", status_code=201)
async def create_relationship(
    body: CreateRelationshipRequest, services: Services, _admin: Admin
) -> RelationshipBody:
    """Let a supervisor look after a student."""
    created = await services.relationships.create(
        supervisor_id=body.supervisor_id,
        student_id=body.student_id,
        mode=body.mode,
        valid_from=body.valid_from,
        valid_until=body.valid_until,
    )
    return RelationshipBody.of(created, over=services.relationships.is_over(created))


@router.get("/{relationship_id}")
async def get_relationship(
    relationship_id: Identifier, services: Services, reader: Person
) -> RelationshipBody:
    """One relationship, for an administrator or one of its two."""
    found = await services.relationships.get(reader, relationship_id)
    return RelationshipBody.of(found, over=services.relationships.is_over(found))


@router.patch("/{relationship_id}")
async def change_relationship(
    relationship_id: Identifier, body: ChangeRelationshipRequest, services: Services, _admin: Admin
) -> RelationshipBody:
    """Change the mode or the time, or end it; running observations follow at once."""
    changed = await services.relationships.change(relationship_id, body.changes())
    return RelationshipBody.of(changed, over=services.relationships.is_over(changed))


@router.delete("/{relationship_id}", status_code=204)
async def delete_relationship(
    relationship_id: Identifier, services: Services, _admin: Admin
) -> None:
    """Remove it; running observations end at once, the audit stays."""
    await services.relationships.remove(relationship_id)
