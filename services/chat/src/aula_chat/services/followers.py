"""Follows the streams of other processes by reading their logs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
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
    """A followed stream: its view, who reads it, when there was news last.

    After `quiet` seconds without news it is looked up. `tried` says whether its log was read, or
    was found to be away.
    """

    def __init__(self, view: StreamView, *, now: float, quiet: float) -> None:
        self.view = view
        self.users = 0
        self.news_at = now
        self.quiet = quiet
        self.tried = False

    def is_quiet(self, now: float) -> bool:
        """Whether it is time to look the stream up."""
        over = self.view.ended or self.view.closing is not None
        return self.tried and not over and now - self.news_at >= self.quiet


class LogFollowers:
    """One for each process: reads all followed logs in one round trip every `period` seconds.

    A stream without news for `quiet` seconds is looked up; one that has ended is finished from
    its document where the log doesn't finish it within `grace` seconds.
    """

    def __init__(
        self,
        log: StreamLog,
        streams: "StreamRepository",
        *,
        clock: Clock,
        period: float = 0.025,
        quiet: float = 5,
        grace: float = 1,
    ) -> None:
        self._log = log
        self._streams = streams
        self._clock = clock
        self._period = period
        self._quiet = quiet
        self._grace = grace
        self._followed: dict[str, _Followed] = {}
        self._work = asyncio.Event()
        self._sends_away = False

    @contextmanager
    def following(self, stream: Stream) -> Iterator[StreamView]:
        """A view of the stream that is kept up to date inside the block."""
        new = _Followed(
            StreamView(stream.id),
            now=self._clock.monotonic(),
            # one that has ended brings no news: it is looked up after the first read of its log
            quiet=self._quiet if stream.live else 0,
        )
        followed = self._followed.setdefault(stream.id, new)
        followed.view.trim(max(followed.view.dropped, stream.dropped_messages))
        followed.users += 1
        if self._sends_away:
            followed.view.abandon()
        self._work.set()
        try:
            yield followed.view
        finally:
            followed.users -= 1
            if followed.users == 0:
                self._followed.pop(stream.id, None)

    def send_away(self) -> None:
        """Have all readers come back, to another process: this one is about to end.

        Those too that begin from now on.
        """
        self._sends_away = True
        for followed in self._followed.values():
            followed.view.abandon()

    async def run(self) -> None:
        """Read logs and look up what is quiet, for ever; neither waits for the other."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._read), name="read logs")
            group.create_task(self._repeat(self._look_up_quiet), name="look up quiet streams")

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            if not self._followed:
                self._work.clear()
                await self._work.wait()
            try:
                await work()
            except Exception:  # noqa: BLE001 - every reader of the process hangs on these loops
                _log.exception("following failed unexpectedly")
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
            for stream_id in positions:
                self._degrade(stream_id, degraded=True)
            return
        for stream_id, frames in found.items():
            self._degrade(stream_id, degraded=False)
            if (still := self._followed.get(stream_id)) is not None:
                self._extend(still, frames)

    def _degrade(self, stream_id: str, *, degraded: bool) -> None:
        if (still := self._followed.get(stream_id)) is not None:
            still.tried = True
            still.view.degrade(degraded=degraded)

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
        for stream_id, followed in list(self._followed.items()):
            now = self._clock.monotonic()
            if not followed.is_quiet(now):
                continue
            followed.news_at = now
            followed.quiet = max(followed.quiet, self._grace / 4)
            try:
                stream = await self._streams.find(stream_id)
            except UnavailableError:
                _log.warning("quiet stream not looked up", stream=stream_id)
                continue
            self._finish(followed, stream)

    def _finish(self, followed: _Followed, stream: Stream | None) -> None:
        """End the readers of a stream that has ended, unless its log is about to."""
        if stream is None or (not stream.live and stream.outcome is None):
            followed.view.close(notice_frame("reconnect", _GONE))
        elif not stream.live:
            # not since its text was whole: it may have taken long to settle
            since = stream.released_at or stream.ended_at or stream.started_at
            if (self._clock.now() - since).total_seconds() < self._grace:
                followed.quiet = self._grace / 4
            else:
                followed.view.close(reload_frame(stream))


_GONE = {"reason": "gone", "retryAfterMs": 1000}
