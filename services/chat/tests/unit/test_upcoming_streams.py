"""Observers wait for the next streams of their sessions, by one question for them all."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
import stream_builders

from aula_chat.domain.readers import CutReason
from aula_chat.domain.streams import Stream
from aula_chat.services.stream_view import Permit
from aula_chat.services.upcoming import Upcoming
from aula_common.errors import UnavailableError
from aula_common.testing import ManualClock

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
Positions = Collection[tuple[str, datetime | None]]


class Stored:
    """The streams and sessions of a database, and how often it was asked for all."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.deleted: set[str] = set()
        self.asked: list[Positions] = []
        self.looks = 0
        self.away = False

    async def find_next(self, session_id: str, after: datetime | None) -> Stream | None:
        found = await self._later({(session_id, after)})
        return found[0] if found else None

    async def find_all_next(self, positions: Positions) -> list[Stream]:
        self.asked.append(positions)
        return await self._later(positions)

    async def find_existing(self, session_ids: Collection[str]) -> set[str]:
        self.looks += 1
        return set(session_ids) - self.deleted

    async def _later(self, positions: Positions) -> list[Stream]:
        if self.away:
            raise UnavailableError("the database")
        return [
            stream
            for stream in self.streams
            for session_id, after in positions
            if stream.session_id == session_id and (after is None or stream.started_at > after)
        ]


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def upcoming(stored: Stored, clock: ManualClock) -> Upcoming:
    return Upcoming(streams=stored, sessions=stored, clock=clock)  # type: ignore[arg-type]  # what it needs of them


class Waiting:
    """Some who wait, from the beginning of the block to its end."""

    def __init__(self, upcoming: Upcoming) -> None:
        self._upcoming = upcoming
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Waiting":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def on(
        self, session_id: str, seen: datetime | None = None, permit: Permit | None = None
    ) -> "asyncio.Task[Stream | CutReason]":
        """One more, who waits by now."""
        task = asyncio.create_task(self._upcoming.next(session_id, seen, permit or Permit()))
        self._stack.push_async_callback(_cancelled, task)
        await asyncio.sleep(0)
        return task


async def _cancelled(task: "asyncio.Task[Stream | CutReason]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def at(session_id: str, minute: int) -> Stream:
    return stream_builders.stream(
        session_id=session_id, started_at=BEGUN + timedelta(minutes=minute)
    )


async def test_hundreds_who_wait_cost_one_question(stored: Stored, upcoming: Upcoming) -> None:
    async with Waiting(upcoming) as waiting:
        tasks = [await waiting.on(f"ses_{number % 30}", BEGUN) for number in range(300)]
        stored.streams = [at("ses_7", 1)]
        await upcoming.look()
        await asyncio.sleep(0)
        assert [len(positions) for positions in stored.asked] == [30]
        assert stored.looks == 1
        told = [number for number, task in enumerate(tasks) if task.done()]
        assert told == list(range(7, 300, 30))
        assert all(tasks[number].result() == stored.streams[0] for number in told)
        await upcoming.look()
        assert len(stored.asked[-1]) == 29  # who has left is not asked for


async def test_nobody_waits_and_nothing_is_asked(stored: Stored, upcoming: Upcoming) -> None:
    async with Waiting(upcoming) as waiting:
        await waiting.on("ses_a")
    await upcoming.look()
    assert stored.asked == []
    assert stored.looks == 0


async def test_each_gets_the_first_stream_that_it_has_not_seen(
    stored: Stored, upcoming: Upcoming
) -> None:
    async with Waiting(upcoming) as waiting:
        new = await waiting.on("ses_a")
        late = await waiting.on("ses_a", BEGUN + timedelta(minutes=1))
        first, second = at("ses_a", 1), at("ses_a", 2)
        stored.streams = [first, second]
        await upcoming.look()
        assert await new == first
        assert await late == second


async def test_what_is_there_already_is_not_waited_for(stored: Stored, upcoming: Upcoming) -> None:
    stored.streams = [at("ses_a", 1), at("ses_a", 2)]
    assert await upcoming.next("ses_a", BEGUN, Permit()) == stored.streams[0]
    assert stored.asked == []


async def test_a_database_that_is_away_ends_no_wait(stored: Stored, upcoming: Upcoming) -> None:
    stored.away = True
    async with Waiting(upcoming) as waiting:
        task = await waiting.on("ses_a")
        with pytest.raises(UnavailableError):
            await upcoming.look()
        stored.away, stored.streams = False, [at("ses_a", 1)]
        await upcoming.look()
        assert await task == stored.streams[0]


async def test_who_waits_is_told_of_a_deletion_a_withdrawal_and_the_end(
    stored: Stored, upcoming: Upcoming, clock: ManualClock
) -> None:
    async with Waiting(upcoming) as waiting:
        permit = Permit()
        lapsed = await waiting.on("ses_a", permit=permit)
        deleted, kept = await waiting.on("ses_b"), await waiting.on("ses_c")
        permit.withdraw()
        stored.deleted = {"ses_b"}
        await upcoming.look()
        assert await lapsed is CutReason.NOT_RENEWED
        assert await deleted is CutReason.GONE
        stored.deleted = {"ses_c"}
        await upcoming.look()
        assert not kept.done()  # which sessions are there is asked less often
        clock.advance(2)
        await upcoming.look()
        assert await kept is CutReason.GONE
        last = await waiting.on("ses_d")
        upcoming.drain()
        assert await last is CutReason.SENT_AWAY
        assert await upcoming.next("ses_d", None, Permit()) is CutReason.SENT_AWAY
