"""chat's public paths to other people's conversations, which the gateway routes here."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_common.security.principal import Principal, Role
from aula_common.web.access import user
from aula_common.web.schemas import Identifier, Page, Pagination, Text
from aula_monitoring.api.dependencies import Services
from aula_monitoring.api.schemas.session import SessionList, SessionWithMessagesBody
from aula_monitoring.api.schemas.student import FoundUserBody, FoundUserList

router = APIRouter(prefix="/api/chat/users", tags=["users"])

Observer = Annotated[Principal, user(Role.SUPERVISOR, Role.ADMIN)]


@router.get("/search")
async def search_users(
    services: Services,
    observer: Observer,
    page: Annotated[Page, Depends()],
    q: Annotated[Text, Query(min_length=1, max_length=100)],
) -> FoundUserList:
    """People by name: a supervisor's own students, an administrator's anybody."""
    found = await services.sessions.search_users(observer, q, page=page.page, limit=page.limit)
    return FoundUserList(
        users=[FoundUserBody.of(item) for item in found.items],
        pagination=Pagination.of(page, found.total),
    )


@router.get("/{user_id}/sessions")
async def list_sessions(
    user_id: Identifier, services: Services, observer: Observer, page: Annotated[Page, Depends()]
) -> SessionList:
    """The person's conversations, latest first. The look is audited."""
    found = await services.sessions.list_sessions(
        observer, user_id, page=page.page, limit=page.limit
    )
    return SessionList.model_validate(found)


@router.get("/{user_id}/sessions/{session_id}")
async def get_session(
    user_id: Identifier, session_id: Identifier, services: Services, observer: Observer
) -> SessionWithMessagesBody:
    """One conversation with its messages. The look is audited."""
    found = await services.sessions.get_session(observer, user_id, session_id)
    return SessionWithMessagesBody.model_validate(found)
