"""What monitoring asks for supervisors. Everybody else gets 403 here, and no content."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from aula_chat.api.dependencies import LastEventId, Services, SessionId
from aula_chat.api.responses import events_response
from aula_chat.api.schemas.sessions import SessionList, SessionSummary, SessionView
from aula_chat.api.schemas.supervision import ObservationQuery, Owner, Renewal
from aula_common.security.principal import Principal
from aula_common.web.access import service
from aula_common.web.schemas import Identifier, Page, Pagination
from aula_common.web.sse import EventStreamResponse, Outlet

router = APIRouter(tags=["supervision"])
_READ = service("conversations:read")
_NEWEST = 100


@router.get("/internal/sessions/{session_id}/owner")
async def show_owner(
    session_id: SessionId, _caller: Annotated[Principal, _READ], services: Services
) -> Owner:
    """Whose session it is."""
    return Owner(user_id=await services.observations.owner_of(session_id))


@router.post("/internal/observations/renew", status_code=status.HTTP_204_NO_CONTENT)
async def renew_observations(
    body: Renewal, _caller: Annotated[Principal, service("observations:write")], services: Services
) -> Response:
    """Keep observations alive; one that is not renewed ends."""
    await services.observations.renew(body.observation_ids)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.get(
    "/api/chat/sessions/{session_id}/observe",
    status_code=status.HTTP_200_OK,
    response_class=EventStreamResponse,
)
@router.get(
    "/api/chat/sessions/{session_id}/stream/observe",
    status_code=status.HTTP_200_OK,
    response_class=EventStreamResponse,
    include_in_schema=False,
)
async def observe_session(
    session_id: SessionId,
    _caller: Annotated[Principal, _READ],
    services: Services,
    wanted: Annotated[ObservationQuery, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """A session's history and its answers as they are written."""
    outlet = Outlet()
    events = await services.observations.observe(
        session_id,
        observation_id=wanted.observation_id,
        wait_for_next=wanted.follow,
        with_text=wanted.view == "live",
        last_event_id=last_event_id,
        take=outlet.take,
    )
    headers = {"X-Observation-Id": wanted.observation_id}
    return events_response(services, events, outlet, headers=headers)


@router.get("/api/chat/users/{user_id}/sessions")
async def list_user_sessions(
    user_id: Identifier,
    _caller: Annotated[Principal, _READ],
    services: Services,
    page: Annotated[Page, Query()],
) -> SessionList:
    """A person's sessions, newest first."""
    sessions, total = await services.sessions.page(user_id, offset=page.offset, limit=page.limit)
    counts = await services.messages.count([session.id for session in sessions])
    return SessionList(
        sessions=[
            SessionSummary.counted(session, counts.get(session.id, 0)) for session in sessions
        ],
        pagination=Pagination.of(page, total),
    )


@router.get("/api/chat/users/{user_id}/sessions/{session_id}")
async def show_user_session(
    user_id: Identifier,
    session_id: SessionId,
    _caller: Annotated[Principal, _READ],
    services: Services,
) -> SessionView:
    """A person's session with its newest 100 messages."""
    session = await services.sessions.find_of(user_id, session_id)
    messages = await services.messages.newest(
        session.id, _NEWEST, last_position=session.last_position
    )
    return SessionView.of(session, messages, await services.sessions.running_stream(session.id))
