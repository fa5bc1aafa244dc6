"""Follows the streams of other processes by reading their logs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aula_chat.domain.events import event_frame, notice_frame, number_of
from aula_chat.domain.ports import StreamLog
from aula_chat.domain.streams import Stream
from aula_chat.services.conclusions import terminal_event
from aula_chat.services.stream_view import StreamView
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)


def reload_frame(stream: Stream) -> bytes:
    """The terminal event of an ended stream whose log is gone: the client reloads the message."""
    _, data = terminal_event(stream)
    status = str(stream.outcome.status) if stream.outcome else "interrupted"
    return event_frame(
        stream.id,
        stream.last_number or 1,
        "complete",
        {"status": status, **data, "reload": True},
    )


class _Followed:
    """A followed stream: its view, who reads it, when there was news last."""

    def __init__(self, view: StreamView, now: float) -> None:
        self.view = view
        self.users = 0
        self.news_at = now


class LogFollowers:
    """One for each process: reads all followed logs in one round trip every `period` seconds.

    A stream without news for `quiet` seconds is looked up; one that has ended is finished from
    its document where the log doesn't finish it.
    """

    def __init__(
        self,
        log: StreamLog,
        streams: "StreamRepository",
        *,
        clock: Clock,
        period: float = 0.025,
        quiet: float = 5,
    ) -> None:
        self._log = log
        self._streams = streams
        self._clock = clock
        self._period = period
        self._quiet = quiet
        self._followed: dict[str, _Followed] = {}
        self._work = asyncio.Event()

    @contextmanager
    def following(self, stream: Stream) -> Iterator[StreamView]:
        """A view of the stream that is kept up to date inside the block."""
        # an ended stream brings no news: it is looked up after the first read of its log
        now = self._clock.monotonic() - (0 if stream.live else self._quiet)
        followed = self._followed.setdefault(stream.id, _Followed(StreamView(stream.id), now))
        followed.users += 1
        self._work.set()
        try:
            yield followed.view
        finally:
            followed.users -= 1
            if followed.users == 0:
                self._followed.pop(stream.id, None)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            if not self._followed:
                self._work.clear()
                await self._work.wait()
            await self._read()
            await self._look_up_quiet()
            await asyncio.sleep(self._period)

    async def _read(self) -> None:
        positions = {
            stream_id: len(followed.view.frames)
            for stream_id, followed in self._followed.items()
            if not followed.view.ended
        }
        if not positions:
            return
        try:
            found = await self._log.read(positions)
        except UnavailableError:
            for followed in self._followed.values():
                followed.view.degrade(degraded=True)
            return
        for stream_id, frames in found.items():
            if (still := self._followed.get(stream_id)) is not None:
                still.view.degrade(degraded=False)
                self._extend(still, frames)

    def _extend(self, followed: _Followed, frames: list[bytes]) -> None:
        view = followed.view
        for frame in frames:
            number = number_of(frame)
            if number > len(view.frames) + 1:
                break  # a gap: its owner writes it again
            if number == len(view.frames) + 1:
                view.append(frame)
        if len(view.frames) > view.released:
            followed.news_at = self._clock.monotonic()
            view.release(len(view.frames))

    async def _look_up_quiet(self) -> None:
        now = self._clock.monotonic()
        for stream_id, followed in list(self._followed.items()):
            if followed.view.ended or now - followed.news_at < self._quiet:
                continue
            followed.news_at = now
            try:
                stream = await self._streams.find(stream_id)
            except UnavailableError:
                _log.warning("quiet stream not looked up", stream=stream_id)
                continue
            if stream is None:
                followed.view.close(notice_frame("reconnect", _GONE))
            elif not stream.live and stream.outcome is not None:
                followed.view.close(reload_frame(stream))


_GONE = {"reason": "gone", "retryAfterMs": 1000}
