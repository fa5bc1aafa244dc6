"""Waits for the next stream of a session, for all who wait in this process by one question.

A supervisor may have a class open, of which hardly anybody asks at the moment. So those who wait
cost a database the same few questions a second, however many they are.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from aula_chat.domain.readers import CutReason
from aula_chat.domain.streams import Stream
from aula_chat.services.stream_view import Permit
from aula_common.clock import Clock
from aula_common.errors import UnavailableError

if TYPE_CHECKING:
    from aula_chat.storage.sessions import SessionRepository
    from aula_chat.storage.streams import StreamRepository

_STILL_THERE_SECONDS = 2.0  # between two looks which sessions were deleted meanwhile


class _Waiter:
    """Somebody who has seen a session's streams up to one that started at `seen`, or none yet."""

    def __init__(self, session_id: str, seen: datetime | None, permit: Permit) -> None:
        self.session_id = session_id
        self.seen = seen
        self.permit = permit
        self.answer: asyncio.Future[Stream | CutReason] = asyncio.Future()

    def tell(self, answer: Stream | CutReason) -> None:
        """End the wait, unless it has ended."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Upcoming:
    """One for each process; `look` is to be repeated."""

    def __init__(
        self, *, streams: "StreamRepository", sessions: "SessionRepository", clock: Clock
    ) -> None:
        self._streams = streams
        self._sessions = sessions
        self._clock = clock
        self._waiters: set[_Waiter] = set()
        self._sessions_seen_at = float("-inf")
        self._draining = False

    async def next(
        self, session_id: str, seen: datetime | None, permit: Permit
    ) -> Stream | CutReason:
        """The first stream that started after `seen`, however short it was; else why none comes.

        SENT_AWAY when the process drains, GONE when the session was deleted, NOT_RENEWED when the
        permit was withdrawn.
        """
        if self._draining:
            return CutReason.SENT_AWAY
        with suppress(UnavailableError):  # which says nothing about the session
            if (known := await self._streams.find_next(session_id, seen)) is not None:
                return known
        waiter = _Waiter(session_id, seen, permit)
        self._waiters.add(waiter)
        try:
            return await waiter.answer
        finally:
            self._waiters.discard(waiter)

    def drain(self) -> None:
        """Send all away: this process is about to end."""
        self._draining = True
        for waiter in self._waiters:
            waiter.tell(CutReason.SENT_AWAY)

    async def look(self) -> None:
        """Tell those for whom there is something to tell. UnavailableError."""
        for waiter in self._waiters:
            if self._draining or not waiter.permit.valid:
                waiter.tell(CutReason.SENT_AWAY if self._draining else CutReason.NOT_RENEWED)
        if not self._waiters:
            return
        waiting = {(waiter.session_id, waiter.seen) for waiter in self._waiters}
        self._announce(await self._streams.find_all_next(waiting))
        now = self._clock.monotonic()
        if now - self._sessions_seen_at >= _STILL_THERE_SECONDS:
            self._sessions_seen_at = now
            asked = {waiter.session_id for waiter in self._waiters}
            gone = asked - await self._sessions.find_existing(asked)
            for waiter in self._waiters:
                if waiter.session_id in gone:
                    waiter.tell(CutReason.GONE)

    def _announce(self, started: Iterable[Stream]) -> None:
        by_session: dict[str, list[Stream]] = {}
        for stream in started:
            by_session.setdefault(stream.session_id, []).append(stream)
        for waiter in self._waiters:
            for stream in by_session.get(waiter.session_id, ()):
                if waiter.seen is None or stream.started_at > waiter.seen:
                    waiter.tell(stream)
                    break
