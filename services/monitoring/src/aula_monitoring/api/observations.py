"""Observing, on monitoring's own path and on chat's public ones."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query

from aula_common.security.principal import Principal, Role
from aula_common.web.access import user
from aula_common.web.schemas import Identifier
from aula_common.web.sse import EventStreamResponse
from aula_monitoring.api.dependencies import LastEventId, Services

router = APIRouter(tags=["observations"])

Observer = Annotated[Principal, user(Role.SUPERVISOR, Role.ADMIN)]
# a reader that takes nothing for so long is cut, so that an ended leave ends its answer too
_SEND_DEADLINE_SECONDS = 5
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {"text/event-stream": {}}}
}


class View(StrEnum):
    """Whether the text is shown; the relationship's mode may allow the summary only."""

    LIVE = "live"
    SUMMARY = "summary"


@router.get(
    "/api/monitoring/students/{student_id}/sessions/{session_id}/observe",
    status_code=200,
    response_class=EventStreamResponse,
    responses=_EVENTS,
)
async def observe_student(
    student_id: Identifier,
    session_id: Identifier,
    services: Services,
    observer: Observer,
    last_event_id: LastEventId,
    *,
    follow: Annotated[bool, Query()] = False,
    view: Annotated[View, Query()] = View.LIVE,
) -> EventStreamResponse:
    """The conversation of my student as it happens; `follow` stays for the next streams."""
    events = await services.observations.observe(
        observer,
        session_id,
        student_id=student_id,
        follow=follow,
        summary=view is View.SUMMARY,
        last_event_id=last_event_id,
    )
    return EventStreamResponse(events, send_deadline=_SEND_DEADLINE_SECONDS)


async def observe_session(
    session_id: Identifier,
    services: Services,
    observer: Observer,
    last_event_id: LastEventId,
    *,
    follow: Annotated[bool, Query()] = False,
    view: Annotated[View, Query()] = View.LIVE,
) -> EventStreamResponse:
    """The conversation as it happens, whoever of my students it belongs to."""
    events = await services.observations.observe(
        observer,
        session_id,
        student_id=None,
        follow=follow,
        summary=view is View.SUMMARY,
        last_event_id=last_event_id,
    )
    return EventStreamResponse(events, send_deadline=_SEND_DEADLINE_SECONDS)


for _path in (
    "/api/chat/sessions/{session_id}/observe",
    "/api/chat/sessions/{session_id}/stream/observe",
):
    router.add_api_route(
        _path,
        observe_session,
        operation_id=f"observe{_path}",
        status_code=200,
        response_class=EventStreamResponse,
        responses=_EVENTS,
    )
