"""What an observer sees of a session: its history, then its answers as they are written.

An observation has a name, is renewed by whoever asked for it, and ends when it no longer is.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from aula_chat.domain.events import (
    EventId,
    is_terminal,
    notice_frame,
    split_frames,
    without_text,
)
from aula_chat.domain.messages import Message
from aula_chat.domain.readers import CutReason, ReaderKind
from aula_chat.domain.sessions import Session
from aula_chat.domain.streams import Phase, Stream
from aula_chat.services.audience import Audience
from aula_chat.services.conclusions import question_message
from aula_chat.services.readers import Readers
from aula_chat.services.stream_view import NOT_RENEWED, SENT_AWAY, Permit, Take
from aula_chat.services.streams import Streams
from aula_chat.services.upcoming import Upcoming
from aula_common.clock import Clock
from aula_common.errors import NotFoundError, UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.messages import MessageRepository
    from aula_chat.storage.observations import ObservationRepository
    from aula_chat.storage.sessions import SessionRepository
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)
_HISTORY_MESSAGES = 100


class Observations:
    """Observations served here; each lives `lifetime` seconds from its last renewal."""

    def __init__(
        self,
        *,
        sessions: "SessionRepository",
        messages: "MessageRepository",
        stored_streams: "StreamRepository",
        renewals: "ObservationRepository",
        streams: Streams,
        upcoming: Upcoming,
        readers: Readers,
        audience: Audience,
        clock: Clock,
        lifetime: float,
    ) -> None:
        self._sessions = sessions
        self._messages = messages
        self._stored_streams = stored_streams
        self._renewals = renewals
        self._streams = streams
        self._upcoming = upcoming
        self._readers = readers
        self._audience = audience
        self._clock = clock
        self._lifetime = lifetime
        self._renewed_here: dict[str, float] = {}

    async def owner_of(self, session_id: str) -> str:
        """Whose session it is. NotFoundError if it is nobody's."""
        session = await self._sessions.find(session_id)
        if session is None:
            raise NotFoundError
        return session.user_id

    async def renew(self, observation_ids: Sequence[str]) -> None:
        """Keep these observations alive, on whichever replica they are served."""
        now = self._clock.monotonic()
        self._renewed_here |= dict.fromkeys(observation_ids, now)
        self._renewed_here = {
            key: at for key, at in self._renewed_here.items() if now - at < self._lifetime
        }
        try:
            await self._renewals.renew(observation_ids, ttl_seconds=self._lifetime)
        except UnavailableError:
            _log.warning("observations renewed in memory only", count=len(observation_ids))

    async def observe(
        self,
        session_id: str,
        *,
        observation_id: str,
        wait_for_next: bool,
        with_text: bool,
        last_event_id: str | None,
        take: Take | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The events for an observer, but those that `take` takes.

        NotFoundError if there is no such session, or nothing runs and `wait_for_next` is false;
        EventIdInvalidError if `last_event_id` is none of this session's.
        """
        session = await self._sessions.find(session_id)
        if session is None:
            raise NotFoundError
        asked_at = self._clock.now()
        stream, after, seen = await self._position(session_id, last_event_id)
        if not wait_for_next and (stream is None or (not stream.live and after == 0)):
            raise NotFoundError
        await self.renew([observation_id])
        history = [] if last_event_id else await self._history(session, stream, asked_at)
        permit = Permit()
        events = self._events(
            session_id,
            stream,
            after,
            seen,
            history,
            permit=permit,
            wait_for_next=wait_for_next,
            take=take if with_text else None,
            with_text=with_text,
        )
        return self._while_renewed(session_id, observation_id, permit, events)

    async def _position(
        self, session_id: str, last_event_id: str | None
    ) -> tuple[Stream | None, int, datetime | None]:
        """Which stream is observed first, after which number; and since when the next ones."""
        if last_event_id is not None:
            found = await self._streams.find_followable(session_id, last_event_id)
            if found is not None:
                return *found, found[0].started_at
            known = await self._stored_streams.find(EventId.parse(last_event_id).stream_id)
            seen = known.started_at if known else None
            return await self._stored_streams.find_next(session_id, seen), 0, seen
        latest = await self._stored_streams.find_latest(session_id)
        if latest is None:
            return None, 0, None
        shows = latest.live and (latest.phase is Phase.RUNNING or latest.outcome is not None)
        return (latest if shows else None), 0, latest.started_at

    async def _history(
        self, session: Session, stream: Stream | None, asked_at: datetime
    ) -> list[Message]:
        """The earlier messages, and the question that is being answered."""
        stored = await self._messages.newest(
            session.id, _HISTORY_MESSAGES, last_position=session.last_position
        )
        if stream is None:
            # what came meanwhile is seen as a stream
            return [message for message in stored if message.created_at <= asked_at]
        earlier = [m for m in stored if m.id not in {stream.question_id, stream.answer_id}]
        return [*earlier, question_message(stream)]

    async def _events(
        self,
        session_id: str,
        stream: Stream | None,
        after: int,
        seen: datetime | None,
        history: Sequence[Message],
        *,
        permit: Permit,
        wait_for_next: bool,
        take: Take | None,
        with_text: bool,
    ) -> AsyncGenerator[bytes, None]:
        yield notice_frame(
            "observer",
            {"message": "You are observing this session.", "streamActive": stream is not None},
        )
        for frame in _history_frames(history, with_text=with_text):
            yield frame
        history = ()  # not held for as long as the observer stays
        while True:
            if stream is None:
                if not wait_for_next:
                    return
                upcoming = await self._upcoming.next(session_id, seen, permit)
                if isinstance(upcoming, CutReason):
                    self._readers.cut(upcoming)
                    yield _NOTICES[upcoming]
                    return
                stream = upcoming
            last = b""
            frames = self._streams.follow_stream(
                stream, after, kind=ReaderKind.OBSERVER, permit=permit, take=take
            )
            async with aclosing(frames):
                async for last in frames:
                    yield last if with_text else b"".join(map(without_text, split_frames(last)))
            if last and not any(map(is_terminal, split_frames(last))):
                return  # it was told why
            seen, stream, after = stream.started_at, None, 0

    async def _while_renewed(
        self,
        session_id: str,
        observation_id: str,
        permit: Permit,
        events: AsyncGenerator[bytes, None],
    ) -> AsyncGenerator[bytes, None]:
        """The events, while somebody is there, whose permit ends when it is no longer renewed.

        A task for the observation and none for an event: there may be hundreds of observers.
        """
        expiry = asyncio.create_task(self._expire(observation_id, permit), name="watch observation")
        try:
            with self._audience.observing(session_id, observation_id):
                async with aclosing(events):
                    async for data in events:
                        yield data
        finally:
            expiry.cancel()
            await asyncio.gather(expiry, return_exceptions=True)

    async def _expire(self, observation_id: str, permit: Permit) -> None:
        """Withdraw the permit when it was not renewed in time, here or at another replica."""
        alive = True
        while alive:
            await self._clock.sleep(self._lifetime / 3)
            renewed_at = self._renewed_here.get(observation_id, float("-inf"))
            if self._clock.monotonic() - renewed_at < self._lifetime:
                continue
            try:
                alive = await self._renewals.alive(observation_id)
            except UnavailableError:
                alive = False
        permit.withdraw()


_NOTICES = {
    CutReason.SENT_AWAY: SENT_AWAY,
    CutReason.GONE: notice_frame("ended", {"reason": "gone"}),
    CutReason.NOT_RENEWED: NOT_RENEWED,
}


def _history_frames(messages: Sequence[Message], *, with_text: bool) -> Iterator[bytes]:
    if not messages:
        return
    yield notice_frame("history-start", {})
    for message in messages:
        data = {"role": str(message.role), "timestamp": message.created_at}
        if with_text:
            data["content"] = message.content
        yield notice_frame("history", data)
    yield notice_frame("history-end", {})
