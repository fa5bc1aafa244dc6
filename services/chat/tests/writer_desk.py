"""A log writer at work on streams of a test, over a log in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from memory_stream_log import MemoryStreamLog
from stream_builders import stream
from waiting import until

from aula_chat.domain.events import number_of, split_frames
from aula_chat.services.fences import Fences
from aula_chat.services.live_streams import LiveStream
from aula_chat.services.log_health import LogHealth
from aula_chat.services.log_writer import LogWriter
from aula_common.errors import UnavailableError
from aula_common.metrics import Metrics
from aula_common.tasks import Supervisor
from aula_common.testing import ManualClock


class Desk:
    """A writer at work on one stream, its log, and the lease of which one decides."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.log = MemoryStreamLog()
        self.supervisor = Supervisor()
        self.metrics = Metrics()
        self.fences = Fences(self.metrics.counter("fences_lost", "Of a test.", ["where"]))
        self.renewals = 0
        self.taken = False
        self.database_away = False
        self.lease_stays_past = False
        self.live = self.new_stream()
        self.writer = LogWriter(
            self.log,
            renew=self._renew,
            supervisor=self.supervisor,
            health=LogHealth(clock=self.clock, metrics=self.metrics),
            fences=self.fences,
            clock=self.clock,
            ttl_seconds=60,
            **{"window": 0.001, "pause": 0.001, **options},
        )

    def new_stream(self) -> LiveStream:
        return LiveStream(stream(), clock=self.clock, lease_ends=self.clock.monotonic() + 30)

    def say(self, *texts: str, urgent: bool = False) -> None:
        for text in texts:
            self.live.emit("chunk", {"text": text, "tokens": 1, "totalTokens": 1})
        self.writer.submit(self.live, urgent=urgent)

    def end(self) -> None:
        self.live.stream = replace(self.live.stream, live=False)  # as it is stored by then
        self.live.emit("complete", {})
        self.writer.submit(self.live, urgent=True)

    async def released(self, number: int) -> None:
        async with asyncio.timeout(5):
            while self.live.view.released < number:
                await self.live.view.changed()

    async def logged(self, number: int) -> None:
        await until(lambda: self.live.logged >= number)

    def numbers(self) -> list[int]:
        entries = self.log.entries.get(self.live.stream.id, [])
        return [number_of(frame) for _, data in entries for frame in split_frames(data)]

    async def _renew(self, live: LiveStream) -> None:
        self.renewals += 1
        if self.database_away:
            raise UnavailableError("the database")
        if self.taken or not live.stream.live:
            live.lose()
        elif not self.lease_stays_past:
            live.lease_ends = self.clock.monotonic() + 30


@asynccontextmanager
async def open_desk(**options: Any) -> AsyncIterator[Desk]:
    desk = Desk(**options)
    desk.supervisor.spawn(desk.writer.run(), name="write")
    try:
        yield desk
    finally:
        await desk.supervisor.close()
