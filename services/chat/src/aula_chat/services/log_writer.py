"""Writes the events of all streams of this process to their logs, then lets readers see them.

Log, then deliver: readers see a frame once the log has it. If an append isn't acknowledged in
time, readers are served from memory as long as the lease is valid, and told so. Whatever went
wrong with a log (a lost acknowledgement, a lost tail, a flush, a restart) is mended by one path:
be sure of the lease, ask the log where it ends, append from memory everything after that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice

from aula_chat.domain.fences import LossPlace
from aula_chat.domain.ports import LogAnswer, LogAppend, StreamLog
from aula_chat.services.fences import Fences
from aula_chat.services.live_streams import LiveStream
from aula_chat.services.log_health import LogHealth
from aula_chat.services.stream_view import PIECE_BYTES
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger
from aula_common.tasks import Supervisor

_log = get_logger(__name__)

Renew = Callable[[LiveStream], Awaitable[None]]


class LogWriter:
    """One for each process: gathers what all streams wrote and appends it in one round trip.

    What waits is gathered for `window` seconds, unless a first or last event does. An append is of
    `most` streams and a piece of each: one of more would be late on a busy machine, and late for
    all of them. After a failure the next attempt follows in `pause` seconds. The log bounds an
    append's time itself.
    """

    def __init__(
        self,
        log: StreamLog,
        *,
        renew: Renew,
        supervisor: Supervisor,
        health: LogHealth,
        fences: Fences,
        clock: Clock,
        ttl_seconds: int,
        window: float = 0.008,
        most: int = 250,
        pause: float = 0.3,
    ) -> None:
        self._log = log
        self._renew = renew
        self._supervisor = supervisor
        self._health = health
        self._fences = fences
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._window = window
        self._most = most
        self._pause = pause
        self._waiting: dict[str, LiveStream] = {}
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()

    def submit(self, live: LiveStream, *, urgent: bool = False) -> None:
        """Have the stream's new frames appended soon, or at once."""
        self._waiting[live.stream.id] = live
        self._health.wrote(live)
        self._work.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Append for ever."""
        while True:
            await self._work.wait()
            if len(self._waiting) < self._most:
                await self._gather()
            batch = self._take_batch()
            if batch and not await self._try_append(batch):
                await asyncio.sleep(self._pause)

    def _take_batch(self) -> list[LiveStream]:
        """Those who have waited longest."""
        taken = [self._waiting.pop(id_) for id_ in [*islice(self._waiting, self._most)]]
        if not self._waiting:
            self._work.clear()
            self._urgent.clear()
        return [live for live in taken if not live.syncing and self._waits(live)]

    def _waits(self, live: LiveStream) -> bool:
        """Whether its log still gets something; if not, it is done with.

        A retired stream's does not: by now it is shown from the stored message everywhere.
        """
        waits = live.unlogged and not live.fenced and not live.retired
        if not waits:
            self._health.forget(live)
        return waits

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._window):
                await self._urgent.wait()

    async def _try_append(self, batch: list[LiveStream]) -> bool:
        try:
            return await self._append(batch)
        except Exception:  # noqa: BLE001 - every stream of the process hangs on this loop
            _log.exception("append failed unexpectedly")
            self._degrade_all(batch)
            return False

    async def _append(self, batch: list[LiveStream]) -> bool:
        batch = [live for live in batch if self._may_append(live)]
        if not batch:
            return True
        appends = [self._append_of(live) for live in batch]
        last = [len(live.view.frames) for live in batch]
        asked_at = self._clock.monotonic()
        try:
            answers = await self._log.append(appends)
        except UnavailableError:
            self._degrade_all(batch)
            return False
        self._health.answered(asked_at)
        for live, append, number, answer in zip(batch, appends, last, answers, strict=True):
            if answer is None:
                self._degrade(live)
                asyncio.get_running_loop().call_later(self._pause, self.submit, live)
                continue
            whole = append.number == number
            self._acknowledge(live, append, answer, asked_at, whole=whole)
        return True

    def _append_of(self, live: LiveStream) -> LogAppend:
        frames = live.view.frames
        number = frames.last_within(live.logged, len(frames), PIECE_BYTES)
        return LogAppend(
            stream_id=live.stream.id,
            fence=live.stream.fence,
            expected_top=live.logged,
            number=number,
            data=frames.joined(live.logged, number),
            ttl_seconds=self._ttl_seconds,
        )

    def _may_append(self, live: LiveStream) -> bool:
        # a process that slept past its lease must ask before it writes anything
        if not live.lease_valid:
            self._sync(live)
            return False
        return True

    def _acknowledge(
        self,
        live: LiveStream,
        append: LogAppend,
        answer: LogAnswer,
        asked_at: float,
        *,
        whole: bool,
    ) -> None:
        """`whole`: whether the append was all that there was; else the log is still catching up."""
        if answer.stop_asked:
            live.ask_stop()
        if answer.fenced:
            _log.warning("fenced off by the log", stream=live.stream.id)
            self._fences.lose(live, LossPlace.APPEND)
        elif answer.accepted:
            if whole:
                self._mend(live)
            live.acknowledge(append.number, asked_at=asked_at)
        elif live.lease_valid:
            self._adopt(live, answer.top)
        else:
            self._sync(live)
        if live.syncing:
            return
        if self._waits(live):
            self.submit(live)

    def _mend(self, live: LiveStream) -> None:
        live.view.degrade(degraded=False)
        self._health.mend(live)

    def _degrade_all(self, batch: list[LiveStream]) -> None:
        """These and all who wait: their appends would fail likewise."""
        for live in (*batch, *self._waiting.values()):
            self._degrade(live)
            self.submit(live)

    def _degrade(self, live: LiveStream) -> None:
        if not live.view.degraded:
            _log.warning("log away, serving from memory", stream=live.stream.id)
        live.view.degrade(degraded=True)
        self._health.degrade(live)
        if live.lease_valid:
            live.view.release(len(live.view.frames))

    def _sync(self, live: LiveStream) -> None:
        if not live.syncing:
            live.syncing = True
            self._supervisor.spawn(self._resync(live), name="resync a stream's log")

    async def _resync(self, live: LiveStream) -> None:
        """Make sure that the stream is still ours; the next append finds where its log ends."""
        try:
            with suppress(UnavailableError):
                if live.stream.live:  # its end is stored: no lease is needed to tell of it
                    await self._renew(live)
            if not live.lease_valid:
                await asyncio.sleep(self._pause)
        finally:
            live.syncing = False
        if self._waits(live):
            self.submit(live)

    def _adopt(self, live: LiveStream, top: int) -> None:
        """Take the log's word for where it ends: under our fence, all that it holds is ours."""
        _log.info("log differs", stream=live.stream.id, top=top, known=live.logged)
        if top > len(live.view.frames):
            _log.error("log holds what was never written here", stream=live.stream.id, top=top)
            self._fences.lose(live, LossPlace.APPEND)
            return
        live.logged = top
        live.view.release(top)
        if not live.unlogged:
            self._mend(live)  # only the acknowledgement was lost; else the next append mends
