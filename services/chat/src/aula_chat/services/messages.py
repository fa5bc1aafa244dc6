"""The messages of people's sessions."""

from typing import TYPE_CHECKING

from aula_chat.domain.errors import SessionStreamsError, StreamInterruptedError
from aula_chat.domain.messages import Message
from aula_chat.domain.streams import Stream, StreamCode
from aula_chat.services.sessions import Sessions
from aula_chat.services.streams import Streams
from aula_common.errors import NotFoundError
from aula_common.security.principal import Principal

if TYPE_CHECKING:
    from aula_chat.storage.messages import MessageRepository


class Messages:
    """What owners do with the messages of their sessions."""

    def __init__(
        self, *, messages: "MessageRepository", sessions: Sessions, streams: Streams
    ) -> None:
        self._messages = messages
        self._sessions = sessions
        self._streams = streams

    async def page(
        self, principal: Principal, session_id: str, *, offset: int, limit: int
    ) -> tuple[list[Message], int]:
        """A page of the session's messages, oldest first, and how many there are."""
        session = await self._sessions.find(principal, session_id)
        return await self._messages.page(
            session_id, offset=offset, limit=limit, last_position=session.last_position
        )

    async def newest(self, session_id: str, limit: int, *, last_position: int = 0) -> list[Message]:
        """The newest messages of a session that the caller may see, oldest of them first.

        `last_position` is the session's, which makes it cheap where there are many.
        """
        return await self._messages.newest(session_id, limit, last_position=last_position)

    async def count(self, session_ids: list[str]) -> dict[str, int]:
        """How many messages each of these sessions has."""
        return await self._messages.count(session_ids)

    async def delete(self, principal: Principal, session_id: str, message_id: str) -> None:
        """Remove a message; NotFoundError if absent, SessionStreamsError while it answers."""
        await self._sessions.find(principal, session_id)
        if (stream_id := await self._sessions.running_stream(session_id)) is not None:
            raise SessionStreamsError(stream_id)
        if not await self._messages.delete(session_id, message_id):
            raise NotFoundError

    async def send(
        self,
        principal: Principal,
        session_id: str,
        *,
        message: str,
        model_id: str | None,
        idempotency_key: str | None,
    ) -> tuple[Stream, Message]:
        """Answer a message and wait for the whole answer, by the same path as a stream.

        Besides what starting a stream raises: StreamInterruptedError if no text came, and
        NotFoundError if it was deleted since the key's first request.
        """
        started = await self._streams.start(
            principal,
            session_id,
            message=message,
            model_id=model_id,
            idempotency_key=idempotency_key,
        )
        stream = await self._streams.wait_until_ended(started)
        answer = await self._messages.find(stream.answer_id)
        code = stream.outcome.code if stream.outcome else StreamCode.INTERRUPTED
        if code is not None and not (answer and answer.content):
            raise StreamInterruptedError(code, keyed=idempotency_key is not None)
        if answer is None:
            raise NotFoundError
        return stream, answer
