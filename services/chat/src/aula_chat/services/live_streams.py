"""The streams that this process generates."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from aula_chat.domain.events import event_frame
from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.streams import Checkpoint, Stream
from aula_chat.services.stream_view import StreamView
from aula_common.clock import Clock
from aula_common.errors import UnavailableError

_MANY_PARTS = 64  # a short text of its own costs eight times its bytes


class Answer:
    """What has been made so far of one answer."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.parts: list[str] = []
        self.length = 0
        self.tokens = 0
        self.usage: TokenUsage | None = None
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.parts)

    def add(self, text: str) -> None:
        """Go on with this text."""
        if len(self.parts) >= _MANY_PARTS:
            self.parts = [self.text]
        self.parts.append(text)
        self.length += len(text)


class LiveStream:
    """A stream of this process: its document, its answer, its frames, what is known of its log.

    `logged` is the number that the log ends with as far as was acknowledged; `lease_ends` is a
    moment of this process's monotonic clock before which no other process can have taken it, and
    `renewed_at` when its renewal was last asked for; long ago, if that failed.
    `behind_since` is when the oldest event was made that is not acknowledged, while there is one.
    `fenced`: another process has taken it. `stop_asked`, `interrupt_asked`: somebody, or the end of
    this process, wants it to end.
    """

    def __init__(self, stream: Stream, *, clock: Clock, lease_ends: float) -> None:
        self.stream = stream
        self.view = StreamView(stream.id)
        self.answer = Answer(stream.reservation.model_ids[0])
        self.lease_ends = lease_ends
        self.renewed_at = clock.monotonic()
        self.logged = 0
        self.behind_since = 0.0
        self.syncing = False
        self.retired = False
        self.fenced = False
        self.stop_asked = False
        self.interrupt_asked = False
        self.task: asyncio.Task[None] | None = None
        self._clock = clock
        self._generation: asyncio.Timeout | None = None

    @property
    def unlogged(self) -> bool:
        """Whether there are frames that the log is not known to have."""
        return self.logged < len(self.view.frames)

    @property
    def unlogged_count(self) -> int:
        """How many frames the log is not known to have."""
        return len(self.view.frames) - self.logged

    @property
    def lease_valid(self) -> bool:
        """Whether this process still owns the stream for certain; nobody takes an ended one."""
        if self.fenced:
            return False
        return not self.stream.live or self._clock.monotonic() < self.lease_ends

    def emit(self, event: str, data: dict[str, object]) -> None:
        """Add the next event. While the log is away readers see it at once, under a valid lease."""
        number = len(self.view.frames) + 1
        if self.logged == number - 1:
            self.behind_since = self._clock.monotonic()
        self.view.append(event_frame(self.stream.id, number, event, data))
        if self.view.degraded and self.lease_valid:
            self.view.release(number)

    def acknowledge(self, number: int, *, asked_at: float) -> None:
        """The log has everything to that number; what came since `asked_at` may still wait."""
        self.logged = number
        self.behind_since = asked_at
        self.view.release(number)

    def checkpoint(self) -> Checkpoint:
        """The text so far, and the number of the last event."""
        return Checkpoint(text=self.answer.text, number=len(self.view.frames))

    def ask_stop(self) -> None:
        """Somebody has seen enough."""
        self.stop_asked = True
        self._cut()

    def interrupt(self) -> None:
        """This process is about to end."""
        self.interrupt_asked = True
        self._cut()

    def lose(self) -> None:
        """Another process has taken the stream: nothing more leaves this one."""
        self.fenced = True
        self._cut()
        self.view.abandon()

    @asynccontextmanager
    async def generating(self, longest: float) -> AsyncGenerator[asyncio.Timeout]:
        """Cut the block by TimeoutError when the stream is to end, or after `longest` seconds."""
        async with asyncio.timeout(longest) as generation:
            self._generation = generation
            if self.fenced or self.stop_asked or self.interrupt_asked:
                self._cut()
            try:
                yield generation
            finally:
                self._generation = None

    def _cut(self) -> None:
        if self._generation is not None and not self._generation.expired():
            self._generation.reschedule(0)


class LiveStreams:
    """All of them; an ended one stays while its log lacks anything, at most `replay_seconds`.

    With a whole log it stays for `at_hand_seconds`, so that who asked about the time of its end
    needs no other; whoever comes later reads the log, as in any other process.
    """

    def __init__(
        self,
        *,
        capacity: int,
        replay_seconds: float,
        running: Gauge,
        at_hand_seconds: float = 2,
    ) -> None:
        self._capacity = capacity
        self._replay_seconds = replay_seconds
        self._at_hand_seconds = at_hand_seconds
        self._running_gauge = running
        self._streams: dict[str, LiveStream] = {}
        self._running = 0
        self._left = asyncio.Event()
        self._closed = False

    def find(self, stream_id: str) -> LiveStream | None:
        """The stream of that id, if it is this process's and was not lost to another."""
        live = self._streams.get(stream_id)
        return None if live is None or live.view.abandoned else live

    def unfinished(self) -> list[LiveStream]:
        """Those whose readers do not know yet how they end."""
        views = (live for live in self._streams.values() if not live.view.abandoned)
        return [live for live in views if not live.view.ended]

    def runs(self, stream_id: str) -> bool:
        """Whether that stream is being generated here."""
        return any(live.stream.id == stream_id for live in self.running())

    def running(self) -> list[LiveStream]:
        """Those whose generation has not ended."""
        return [live for live in self._streams.values() if live.task and not live.task.done()]

    def admit(self) -> None:
        """Count one more. UnavailableError when the process carries as many as it may, or ends."""
        if self._closed:
            raise UnavailableError("this instance", retry_after=1)
        if self._running >= self._capacity:
            raise UnavailableError("room for another stream", retry_after=2)
        self._running += 1
        self._running_gauge.inc()

    def leave(self) -> None:
        """Count one less."""
        self._running -= 1
        self._running_gauge.dec()
        if self._running == 0:
            self._left.set()

    def add(self, live: LiveStream) -> None:
        """Make a stream known to readers of this process."""
        self._streams[live.stream.id] = live
        if self._closed:
            live.interrupt()

    def interrupt(self) -> None:
        """Have all end as interrupted, those too that were admitted and are not added yet."""
        self._closed = True
        for live in self.unfinished():
            live.interrupt()

    def retire(self, live: LiveStream) -> None:
        """Forget an ended stream in a while."""
        self._keep(live, self._replay_seconds)

    def _keep(self, live: LiveStream, left: float) -> None:
        seconds = min(left, self._at_hand_seconds)
        asyncio.get_running_loop().call_later(seconds, self._forget, live, left - seconds)

    def _forget(self, live: LiveStream, left: float) -> None:
        if live.unlogged and left > 0:
            self._keep(live, left)
            return
        live.retired = True
        self._streams.pop(live.stream.id, None)

    async def idle(self) -> None:
        """Return when no stream runs, nor any that was admitted meanwhile."""
        while self._running:
            self._left.clear()
            await self._left.wait()
