"""People's chat sessions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aula_chat.domain.errors import SessionStreamsError
from aula_chat.domain.models import DEFAULT_MODEL, find_model
from aula_chat.domain.ports import StreamLog
from aula_chat.domain.sessions import UNTITLED, Session
from aula_chat.domain.streams import Reservation, claim_of
from aula_common.clock import Clock
from aula_common.errors import NotFoundError, UnauthorizedError, UnavailableError
from aula_common.ids import new_id
from aula_common.logging import get_logger
from aula_common.security.principal import Principal

if TYPE_CHECKING:
    from aula_chat.storage.erasures import ErasureRepository
    from aula_chat.storage.messages import MessageRepository
    from aula_chat.storage.sessions import SessionRepository
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)


class Sessions:
    """What owners do with their sessions. Another's session is as absent: NotFoundError."""

    def __init__(
        self,
        *,
        sessions: "SessionRepository",
        messages: "MessageRepository",
        streams: "StreamRepository",
        erasures: "ErasureRepository",
        log: StreamLog,
        clock: Clock,
        owner: str,
        lease_seconds: float,
    ) -> None:
        self._sessions = sessions
        self._messages = messages
        self._streams = streams
        self._erasures = erasures
        self._log = log
        self._clock = clock
        self._owner = owner
        self._lease_seconds = lease_seconds

    async def create(
        self,
        principal: Principal,
        *,
        title: str | None,
        model_id: str | None,
        metadata: Mapping[str, str],
    ) -> Session:
        """A new session; ModelUnknownError if the model is not the caller's to use.

        UnauthorizedError if the caller is erased: the token has outlived its owner.
        """
        model = find_model(model_id or DEFAULT_MODEL, tier=principal.tier)
        now = self._clock.now()
        session = Session(
            id=new_id("ses"),
            user_id=principal.id,
            title=title or UNTITLED,
            model_id=model.id,
            created_at=now,
            updated_at=now,
            metadata=metadata,
        )
        await self._sessions.create(session)
        # asked after the session is there: an erasure that began before has not seen it
        if await self._erasures.exists(principal.id):
            await self._sessions.delete(session.id)
            raise UnauthorizedError
        return session

    async def find(self, principal: Principal, session_id: str) -> Session:
        """The caller's session of that id."""
        return await self.find_of(principal.id, session_id)

    async def find_of(self, user_id: str, session_id: str) -> Session:
        """That person's session of that id."""
        session = await self._sessions.find_owned(session_id, user_id)
        if session is None:
            raise NotFoundError
        return session

    async def page(
        self,
        user_id: str,
        *,
        offset: int,
        limit: int,
        title_contains: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> tuple[list[Session], int]:
        """A page of a person's sessions, newest first, and how many there are."""
        return await self._sessions.page(
            user_id, offset=offset, limit=limit, title_contains=title_contains, metadata=metadata
        )

    async def running_stream(self, session_id: str) -> str | None:
        """The id of the session's running stream."""
        stream = await self._streams.find_live(session_id)
        return stream.id if stream else None

    async def update(
        self,
        principal: Principal,
        session_id: str,
        *,
        title: str | None,
        model_id: str | None,
    ) -> Session:
        """Rename it, or switch its model; SessionStreamsError while it answers."""
        await self._require_idle(principal, session_id)
        fields: dict[str, object] = {}
        if title is not None:
            fields["title"] = title
        if model_id is not None:
            fields["modelId"] = find_model(model_id, tier=principal.tier).id
        if not fields:
            return await self.find(principal, session_id)
        session = await self._sessions.update(session_id, principal.id, fields)
        if session is None:
            raise NotFoundError
        return session

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Remove it with its messages; SessionStreamsError while it answers."""
        await self.remove(await self._require_idle(principal, session_id))

    async def remove(self, session: Session, *, forget_logs: bool = False) -> None:
        """Remove this session with all that belongs to it; SessionStreamsError while it answers.

        `forget_logs`: UnavailableError when the logs can't be removed, which else run out soon.
        """
        # by the same claim as a stream's, so that none begins meanwhile
        claim = claim_of(
            session,
            owner=self._owner,
            question="",
            reservation=Reservation(
                model_ids=(session.model_id,), input_tokens=0, max_output_tokens=0
            ),
            at=self._clock.now(),
        )
        if (
            other := await self._streams.claim(claim, lease_seconds=self._lease_seconds)
        ) is not None:
            raise SessionStreamsError(other.id)
        try:
            await self._messages.delete_of_sessions(session.id)
            streams = await self._streams.ended_of_session(session.id)
            await self._forget_logs(streams, insist=forget_logs)
            await self._streams.delete_settled(streams)
            await self._sessions.delete(session.id)
            # what a process stored meanwhile that had lost its stream; it takes that back by
            # itself, but may die before
            await self._messages.delete_of_sessions(session.id)
        finally:
            await self._streams.discard(claim)

    async def _forget_logs(self, stream_ids: Sequence[str], *, insist: bool) -> None:
        try:
            await self._log.delete(stream_ids)
        except UnavailableError:
            if insist:
                raise
            _log.warning("logs of a deleted session left to their time", count=len(stream_ids))

    async def _require_idle(self, principal: Principal, session_id: str) -> Session:
        session = await self.find(principal, session_id)
        if (stream_id := await self.running_stream(session_id)) is not None:
            raise SessionStreamsError(stream_id)
        return session
