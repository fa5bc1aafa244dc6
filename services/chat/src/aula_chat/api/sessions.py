"""People's sessions and messages."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response, status

from aula_chat.api.dependencies import IdempotencyKey, Services, SessionId
from aula_chat.api.schemas.sessions import (
    AnsweredMessage,
    CreatedSession,
    Deleted,
    MessageList,
    MessageSending,
    MessageView,
    SessionChange,
    SessionCreation,
    SessionList,
    SessionQuery,
    SessionSummary,
    SessionView,
    TokenCounts,
)
from aula_common.security.principal import Principal
from aula_common.web.access import user
from aula_common.web.schemas import Identifier, Page, Pagination

router = APIRouter(prefix="/api/chat/sessions", tags=["sessions"])
_NEWEST = 100


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_session(
    body: SessionCreation,
    caller: Annotated[Principal, user()],
    services: Services,
    user_agent: Annotated[str | None, Header()] = None,
) -> CreatedSession:
    """Begin a conversation."""
    session = await services.sessions.create(
        caller, title=body.title, model_id=body.model_id, metadata=body.metadata(user_agent)
    )
    return CreatedSession(
        session_id=session.id,
        title=session.title,
        model_id=session.model_id,
        created_at=session.created_at,
    )


@router.get("")
async def list_sessions(
    caller: Annotated[Principal, user()],
    services: Services,
    wanted: Annotated[SessionQuery, Query()],
) -> SessionList:
    """One's own sessions, newest first."""
    sessions, total = await services.sessions.page(
        caller.id,
        offset=wanted.offset,
        limit=wanted.limit,
        title_contains=wanted.q,
        metadata=wanted.metadata,
    )
    counts = await services.messages.count([session.id for session in sessions])
    return SessionList(
        sessions=[
            SessionSummary.counted(session, counts.get(session.id, 0)) for session in sessions
        ],
        pagination=Pagination.of(wanted, total),
    )


@router.get("/{session_id}")
async def show_session(
    session_id: SessionId, caller: Annotated[Principal, user()], services: Services
) -> SessionView:
    """A session with its newest 100 messages."""
    session = await services.sessions.find(caller, session_id)
    messages = await services.messages.newest(
        session.id, _NEWEST, last_position=session.last_position
    )
    return SessionView.of(session, messages, await services.sessions.running_stream(session.id))


@router.patch("/{session_id}")
async def change_session(
    session_id: SessionId,
    body: SessionChange,
    caller: Annotated[Principal, user()],
    services: Services,
) -> SessionView:
    """Rename a session, or switch its model."""
    session = await services.sessions.update(
        caller, session_id, title=body.title, model_id=body.model_id
    )
    messages = await services.messages.newest(
        session.id, _NEWEST, last_position=session.last_position
    )
    return SessionView.of(session, messages, None)


@router.delete("/{session_id}")
async def delete_session(
    session_id: SessionId, caller: Annotated[Principal, user()], services: Services
) -> Deleted:
    """Remove a session with its messages."""
    await services.sessions.delete(caller, session_id)
    return Deleted(message="The session was deleted.", session_id=session_id)


@router.get("/{session_id}/messages")
async def list_messages(
    session_id: SessionId,
    caller: Annotated[Principal, user()],
    services: Services,
    page: Annotated[Page, Query()],
) -> MessageList:
    """The messages of a session, oldest first."""
    messages, total = await services.messages.page(
        caller, session_id, offset=page.offset, limit=page.limit
    )
    return MessageList(
        messages=[MessageView.of(message) for message in messages],
        pagination=Pagination.of(page, total),
    )


@router.post("/{session_id}/messages")
async def send_message(
    session_id: SessionId,
    body: MessageSending,
    caller: Annotated[Principal, user()],
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> AnsweredMessage:
    """Have a message answered and wait for the whole answer."""
    stream, answer = await services.messages.send(
        caller,
        session_id,
        message=body.message,
        model_id=body.model_id,
        idempotency_key=idempotency_key,
    )
    usage = answer.metadata["usage"]
    return AnsweredMessage(
        session_id=session_id,
        message=MessageView.of(answer),
        usage=TokenCounts(input_tokens=usage["inputTokens"], output_tokens=usage["outputTokens"]),
        credits=stream.settlement.credits if stream.settlement else None,
    )


@router.delete("/{session_id}/messages/{message_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_message(
    session_id: SessionId,
    message_id: Identifier,
    caller: Annotated[Principal, user()],
    services: Services,
) -> Response:
    """Remove one message."""
    await services.messages.delete(caller, session_id, message_id)
    return Response(status_code=status.HTTP_204_NO_CONTENT)
