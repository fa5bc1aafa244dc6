"""How a process leaves its streams when it ends: finished, ended, or given up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import Gauge
from stream_builders import chunk, stream
from waiting import until

from aula_chat.domain.events import event_frame
from aula_chat.domain.streams import Checkpoint, Stream
from aula_chat.services.handover import Handover
from aula_chat.services.live_streams import LiveStream, LiveStreams
from aula_common.clock import SystemClock
from aula_common.errors import UnavailableError

AT_ONCE, LATER = 0.2, 30  # deadlines: what does not end is soon ended, or not in this test


class House:
    """A process with its streams; `given_up` holds what it gave up."""

    def __init__(self, deadline: float) -> None:
        self.live = LiveStreams(
            capacity=10, replay_seconds=60, running=Gauge("running", "Of a test.", registry=None)
        )
        self.told: list[str] = []
        self.given_up: list[tuple[str, list[tuple[str, Checkpoint]]]] = []
        self.away = False
        self.requests_ended = asyncio.Event()
        self.requests_ended.set()
        self.handover = Handover(
            streams=self,  # type: ignore[arg-type]  # what it needs of a repository
            live=self.live,
            recoveries=self,  # type: ignore[arg-type]  # what it needs of recoveries
            send_away=[lambda: self.told.append("sent away")],
            owner="own_here",
            deadline=deadline,
        )

    def stop(self) -> None:
        self.told.append("recoveries stopped")

    async def give_up(
        self, owner: str, checkpoints: Sequence[tuple[Stream, Checkpoint]] = ()
    ) -> int:
        if self.away:
            raise UnavailableError("the database")
        self.given_up.append((owner, [(one.id, checkpoint) for one, checkpoint in checkpoints]))
        return len(checkpoints)

    async def drain(self) -> None:
        async with asyncio.timeout(10):
            await self.handover.drain(self._requests_ended)

    async def _requests_ended(self) -> None:
        await self.requests_ended.wait()

    def start(self, work: Any) -> LiveStream:
        """A stream whose generation does this work: a function of the stream."""
        self.live.admit()
        return self.add(work)

    def add(self, work: Any) -> LiveStream:
        live = LiveStream(stream(), clock=SystemClock(), lease_ends=float("inf"))
        self.live.add(live)

        async def run() -> None:
            try:
                await work(live)
            finally:
                self.live.leave()

        live.task = asyncio.create_task(run())
        return live


def end(live: LiveStream) -> None:
    """Tell its readers how it ended."""
    number = live.view.append(event_frame(live.stream.id, len(live.view.frames) + 1, "error", {}))
    live.view.release(number)


@asynccontextmanager
async def house(deadline: float = AT_ONCE) -> AsyncIterator[House]:
    made = House(deadline)
    yield made
    for live in made.live.running():
        assert live.task is not None
        live.task.cancel()
    await asyncio.sleep(0)


async def ends_when_interrupted(live: LiveStream) -> None:
    await until(lambda: live.interrupt_asked)
    end(live)


async def hangs(live: LiveStream) -> None:
    live.answer.parts.append("half")
    live.view.append(chunk(live.stream.id, 1, "half"))
    await asyncio.Event().wait()


async def test_a_stream_that_ends_by_itself_is_neither_interrupted_nor_given_up() -> None:
    async with house(LATER) as it:

        async def ends(live: LiveStream) -> None:
            await asyncio.sleep(0)
            end(live)

        live = it.start(ends)
        await it.drain()
        assert not live.interrupt_asked
        assert (it.told, it.given_up) == (["sent away"], [])


async def test_what_does_not_end_in_time_is_ended_here() -> None:
    async with house() as it:
        live = it.start(ends_when_interrupted)
        await it.drain()
        assert live.view.ended
        assert not live.view.abandoned
        assert it.given_up == [("own_here", [])]


async def test_what_can_not_be_ended_is_given_up_with_all_of_its_text_and_readers_sent_on() -> None:
    async with house() as it:
        ended, hanging = it.start(ends_when_interrupted), it.start(hangs)
        await it.drain()
        assert it.given_up == [
            ("own_here", [(hanging.stream.id, Checkpoint(text="half", number=1))])
        ]
        assert (hanging.view.abandoned, hanging.fenced) == (True, True)
        assert (ended.view.abandoned, ended.fenced) == (False, False)
        assert it.told == ["sent away", "recoveries stopped"]


async def test_readers_are_sent_on_even_if_the_database_is_away() -> None:
    async with house() as it:
        it.away = True
        live = it.start(hangs)
        await it.drain()
        assert live.view.abandoned


async def test_a_request_that_began_before_may_still_start_its_stream() -> None:
    async with house(LATER) as it:
        it.requests_ended.clear()
        draining = asyncio.create_task(it.drain())
        await asyncio.sleep(0)
        release = asyncio.Event()

        async def waits(live: LiveStream) -> None:
            await release.wait()
            end(live)

        live = it.start(waits)
        it.requests_ended.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not draining.done()
        release.set()
        await draining
        assert (live.interrupt_asked, it.given_up) == (False, [])


async def test_a_stream_that_was_admitted_and_comes_after_the_interruption_is_interrupted() -> None:
    async with house() as it:
        it.live.admit()
        draining = asyncio.create_task(it.drain())
        await until(lambda: it.live._closed)
        live = it.add(ends_when_interrupted)
        await draining
        assert live.view.ended
        with pytest.raises(UnavailableError):
            it.live.admit()


async def test_finishing_again_gives_up_what_is_still_there_and_waits_no_more() -> None:
    async with house() as it:
        it.start(hangs)
        await it.drain()
        it.live.idle = it.live.interrupt = None  # type: ignore[assignment, method-assign]  # unused
        await it.handover.finish()
        assert [len(checkpoints) for _, checkpoints in it.given_up] == [1, 1]


async def test_a_process_is_idle_when_none_runs_and_not_when_one_has_just_ended() -> None:
    async with house() as it:
        it.live.admit()
        idle = asyncio.create_task(it.live.idle())
        await asyncio.sleep(0)
        it.live.leave()
        it.live.admit()  # before the waiting one is woken
        for _ in range(10):
            await asyncio.sleep(0)
        assert not idle.done()
        it.live.leave()
        await asyncio.wait_for(idle, 10)
