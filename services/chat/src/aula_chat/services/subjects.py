"""What chat keeps of a person: handed out whole, or erased, as auth asks for it."""

import math
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from aula_chat.domain.erasures import Erasure
from aula_chat.domain.errors import NothingStreamsError, SessionStreamsError
from aula_chat.domain.messages import Message
from aula_chat.domain.sessions import Session
from aula_chat.services.sessions import Sessions
from aula_chat.services.streams import Streams
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.erasures import ErasureRepository
    from aula_chat.storage.messages import MessageRepository
    from aula_chat.storage.sessions import SessionRepository

_log = get_logger(__name__)
_PATIENCE_SECONDS = 8.0
_PAUSE_SECONDS = 0.25
_NEXT_ROUND = timedelta(seconds=5)
# how long and how often something late is looked for: no token lives longer, nor what a process
# that lost its stream has still on its way to the database
_WATCHED = timedelta(hours=1)
_NEXT_LOOK = timedelta(minutes=2)


class Subjects:
    """People, as the law knows them.

    An erasure is noted before anything else is done. From its first step the person's sessions
    are nobody's, so that all who ask find them absent; their streams are stopped and settled as
    any other; then each is removed. Any replica carries on with what one could not finish.
    """

    def __init__(
        self,
        *,
        erasures: "ErasureRepository",
        stored_sessions: "SessionRepository",
        messages: "MessageRepository",
        sessions: Sessions,
        streams: Streams,
        clock: Clock,
    ) -> None:
        self._erasures = erasures
        self._stored_sessions = stored_sessions
        self._messages = messages
        self._sessions = sessions
        self._streams = streams
        self._clock = clock

    def sessions_of(self, user_id: str) -> AsyncGenerator[Session, None]:
        """All sessions of a person, newest first."""
        return self._stored_sessions.each_of(user_id)

    def messages_of(self, session: Session) -> AsyncGenerator[Message, None]:
        """All messages of a session, oldest first."""
        return self._messages.each_of(session.id)

    async def erase(self, user_id: str) -> Erasure:
        """Erase a person, or ask how far that is.

        It is waited for as long as a stream needs to be stopped and settled; what takes longer
        goes on by itself, and `erased_at` is None. UnavailableError if it could not be noted.
        """
        erasure = await self._erasures.ask(user_id, self._clock.now())
        until = self._clock.monotonic() + _PATIENCE_SECONDS
        while True:
            if erasure.erased_at is None:
                erasure = await self._carry_on(erasure, until)
            if erasure.erased_at is not None or self._clock.monotonic() > until:
                return erasure
            await self._clock.sleep(_PAUSE_SECONDS)

    async def sweep(self) -> None:
        """Carry on with what is not finished, and remove what came late to what is."""
        while True:
            now = self._clock.now()
            due = await self._erasures.take_due(now, look_again_at=now + _NEXT_ROUND)
            if due is None:
                return
            await self._carry_on(due, math.inf)

    async def _carry_on(self, erasure: Erasure, until: float) -> Erasure:
        """Erase what can be erased until then, by the monotonic clock; how far it is then."""
        try:
            if not await self._remove_all(erasure, until):
                return erasure
            now = self._clock.now()
            watched = now - (erasure.erased_at or now) < _WATCHED
            return await self._erasures.finish(
                erasure.user_id, now, look_again_at=now + _NEXT_LOOK if watched else None
            )
        except UnavailableError:
            _log.warning("erasure left to the next round", user=erasure.user_id)
            return erasure

    async def _remove_all(self, erasure: Erasure, until: float) -> bool:
        """Whether nothing is left."""
        sessions = await self._stored_sessions.disown(erasure.user_id)
        if sessions:
            await self._erasures.add_sessions(erasure.user_id, [one.id for one in sessions])
        await self._messages.delete_of_sessions(*erasure.session_ids)
        removed = [
            self._clock.monotonic() < until and await self._remove(session) for session in sessions
        ]
        return all(removed)

    async def _remove(self, session: Session) -> bool:
        try:
            await self._sessions.remove(session, forget_logs=True)
        except SessionStreamsError:
            with suppress(NothingStreamsError):  # it ends by itself just now
                await self._streams.stop(session.id)
            return False
        return True
