"""Answers as they are written."""

from typing import Annotated, Any

from fastapi import APIRouter, Response, status
from starlette.datastructures import State

from aula_chat.api.dependencies import (
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_PATTERN,
    IdempotencyKey,
    LastEventId,
    Services,
    SessionId,
)
from aula_chat.api.responses import events_response
from aula_chat.api.schemas.sessions import MessageSending, Stopped
from aula_common.errors import UnavailableError
from aula_common.security.principal import Principal
from aula_common.web.access import require_person, user
from aula_common.web.sse import EventStreamResponse, Outlet
from aula_common.web.thin import ThinRequest, ThinRoute

router = APIRouter(prefix="/api/chat/sessions", tags=["streams"])
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Server-sent events. Numbered by their ids, and kept: `start`, `model`, `chunk`, and "
            "at the end `complete` or `error`. Without a number, to each reader as it concerns it: "
            "`trimmed {droppedMessages}` (so many older messages did not fit into the model's "
            "window; the last one told holds), `observers {count}`, `degraded`, and at an end "
            "without a terminal event `reconnect {reason, retryAfterMs}`."
        ),
        "content": {"text/event-stream": {}},
    }
}


@router.post(
    "/{session_id}/stream",
    status_code=status.HTTP_200_OK,
    response_class=EventStreamResponse,
    responses=_EVENTS,
)
async def start_stream(
    session_id: SessionId,
    body: MessageSending,
    caller: Annotated[Principal, user()],
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Have a message answered and follow the answer; leaving does not stop it."""
    if not services.settings.streams.enable_streaming:
        raise UnavailableError("streaming", retry_after=60)
    stream = await services.streams.start(
        caller,
        session_id,
        message=body.message,
        model_id=body.model_id,
        idempotency_key=idempotency_key,
    )
    outlet = Outlet()
    events = services.streams.follow_stream(stream, take=outlet.take)
    return events_response(services, events, outlet)


async def _start_stream(state: State, asked: ThinRequest[MessageSending]) -> Response:
    return await start_stream(
        asked.identifier,
        asked.body,
        asked.principal,
        state.process,
        asked.headers[IDEMPOTENCY_KEY],
    )


thin_routes = (
    ThinRoute(
        target=f"{router.prefix}/{{id}}/stream",
        path=f"{router.prefix}/{{session_id}}/stream",
        admit=require_person,
        body=MessageSending,
        headers={IDEMPOTENCY_KEY: IDEMPOTENCY_KEY_PATTERN},
        status=status.HTTP_200_OK,
        answer=_start_stream,
    ),
)


@router.get(
    "/{session_id}/stream",
    status_code=status.HTTP_200_OK,
    response_class=EventStreamResponse,
    responses={**_EVENTS, 204: {"description": "Nothing to follow."}},
)
async def follow_stream(
    session_id: SessionId,
    caller: Annotated[Principal, user()],
    services: Services,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow the running answer, or one that ended just now, from where one left."""
    await services.sessions.find(caller, session_id)
    found = await services.streams.find_followable(session_id, last_event_id)
    if found is None:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    stream, after = found
    outlet = Outlet()
    events = services.streams.follow_stream(stream, after, take=outlet.take)
    return events_response(services, events, outlet)


@router.post("/{session_id}/stop")
async def stop_stream(
    session_id: SessionId, caller: Annotated[Principal, user()], services: Services
) -> Stopped:
    """Stop the running answer; what was made of it is kept and charged."""
    await services.sessions.find(caller, session_id)
    stream = await services.streams.stop(session_id)
    return Stopped(
        message="The answer is being stopped.",
        session_id=session_id,
        streaming_session_id=stream.id,
    )
