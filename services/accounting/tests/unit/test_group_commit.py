"""Operations that are asked at the same time share a list, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from aula_accounting.domain.errors import AnswerLostError, ContendedError
from aula_accounting.domain.streaming import (
    ProgressOutcome,
    ProgressReport,
    StreamingOperation,
    StreamingOutcome,
)
from aula_accounting.services.group_commit import GroupCommit
from aula_common.errors import UnavailableError
from aula_common.metrics import Metrics
from aula_common.testing import ManualClock

Outcomes = Sequence[StreamingOutcome | None]
Script = Callable[[list[str], bool], Awaitable[Outcomes | None]]


def report(session_id: str, user_id: str = "usr_a") -> ProgressReport:
    return ProgressReport(session_id=session_id, user_id=user_id, tokens_generated=1)


class Batches:
    """Notes each list, and answers as the script says (None: as usual)."""

    def __init__(self, script: Script | None = None) -> None:
        self.lists: list[tuple[list[str], bool]] = []
        self._script = script

    async def apply(
        self, operations: Sequence[StreamingOperation], *, patient: bool, **_: Any
    ) -> Outcomes:
        names = [operation.session_id for operation in operations]
        self.lists.append((names, patient))
        answered = await self._script(names, patient) if self._script else None
        return answered if answered is not None else [_done() for _ in operations]


def _done() -> ProgressOutcome:
    return ProgressOutcome(reservation=None)


@asynccontextmanager
async def group(batches: Batches, **changes: Any) -> AsyncIterator[GroupCommit]:
    settings: dict[str, Any] = {
        "lanes": 1, "largest": 64, "queue_limit": 100, "patience": 60.0, **changes
    }  # fmt: skip
    made = GroupCommit(
        batches=batches,
        clock=ManualClock(),
        lease=timedelta(seconds=300),
        running_limit=5,
        sizes=Metrics().histogram("members", "Members."),
        **settings,
    )
    yield made
    async with asyncio.timeout(10):
        await made.close()


async def ask(commits: GroupCommit, *names: str) -> list[Any]:
    asked = (commits.submit(report(name)) for name in names)
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_is_asked_while_a_list_runs_is_the_next_list() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        begun.set()
        await go.wait()

    batches = Batches(script)
    async with group(batches) as commits:
        first = asyncio.create_task(ask(commits, "a", "b"))
        await begun.wait()
        rest = asyncio.create_task(ask(commits, "c", "d", "e"))
        await asyncio.sleep(0)
        go.set()
        assert await first == [_done(), _done()]
        assert await rest == [_done()] * 3
    assert batches.lists == [(["a", "b"], False), (["c", "d", "e"], False)]


async def test_a_list_is_bounded_and_the_rest_follows() -> None:
    batches = Batches()
    async with group(batches, largest=2) as commits:
        assert await ask(commits, "a", "b", "c", "d", "e") == [_done()] * 5
    assert [len(names) for names, _ in batches.lists] == [2, 2, 1]


async def _a_while() -> None:
    for _ in range(5):  # rounds of the loop
        await asyncio.sleep(0)


async def test_of_those_who_ask_again_and_again_half_are_in_each_list() -> None:
    begun = asyncio.Event()

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        begun.set()
        await _a_while()

    async def client(commits: GroupCommit, name: str) -> None:
        for turn in range(20):
            await commits.submit(report(f"{name}{turn}"))

    batches = Batches(script)
    async with group(batches) as commits:
        early = [asyncio.create_task(client(commits, name)) for name in "ab"]
        await begun.wait()
        await asyncio.gather(*early, *(client(commits, name) for name in "cdefgh"))
    sizes = [len(names) for names, _ in batches.lists]
    assert sizes[0] == 2  # six wait meanwhile: without halves these two and six took turns for ever
    assert sizes[4:-4] == [4] * (len(sizes) - 8)
    assert len(sizes) > 30


async def test_a_list_begins_before_those_of_the_last_one_are_answered() -> None:
    seen: list[str] = []

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        seen.append(f"{names[0]} begins")
        await _a_while()

    async def client(commits: GroupCommit, name: str) -> None:
        await commits.submit(report(name))
        seen.append(f"{name} answered")

    async with group(Batches(script), largest=1) as commits:
        await asyncio.gather(*(client(commits, name) for name in "abc"))
    begun = ["a begins", "b begins", "a answered", "c begins", "b answered", "c answered"]
    assert seen == begun


async def test_lanes_run_beside_one_another_and_keep_a_user_together() -> None:
    running: list[list[str]] = []
    both = asyncio.Event()

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        running.append(names)
        if len(running) == 2:
            both.set()
        await both.wait()

    async with group(Batches(script), lanes=2) as commits:
        operations = [report(f"{user}{turn}", f"usr_{user}") for turn in "12" for user in "abcd"]
        async with asyncio.timeout(10):
            await asyncio.gather(*map(commits.submit, operations))
    lane_of = {name: lane for lane, names in enumerate(running) for name in names}
    assert all(lane_of[f"{user}1"] == lane_of[f"{user}2"] for user in "abcd")


async def test_a_poisoned_member_alone_gets_the_error() -> None:
    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        if "poison" in names:
            raise ArithmeticError("poison")

    batches = Batches(script)
    async with group(batches) as commits:
        first, poisoned, last = await ask(commits, "a", "poison", "b")
        assert (first, last) == (_done(), _done())
        assert isinstance(poisoned, ArithmeticError)
        assert await ask(commits, "c") == [_done()]
    assert sorted(batches.lists[1:4]) == [(["a"], True), (["b"], True), (["poison"], True)]


async def test_a_caller_that_leaves_stops_neither_its_list_nor_its_neighbours() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        begun.set()
        await go.wait()

    batches = Batches(script)
    async with group(batches, queue_limit=3) as commits:
        running, staying = (asyncio.create_task(commits.submit(report(n))) for n in "ab")
        await begun.wait()
        waiting = asyncio.create_task(commits.submit(report("c")))
        await asyncio.sleep(0)
        for leaver in (running, waiting):
            leaver.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaver
        go.set()
        assert await staying == _done()
        # no place is lost by it
        assert await ask(commits, "d", "e") == [_done()] * 2
    assert [name for names, _ in batches.lists for name in names] == ["a", "b", "c", "d", "e"]


async def test_a_full_queue_is_unavailable_at_once_and_has_room_again_later() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        begun.set()
        await go.wait()

    async with group(Batches(script), queue_limit=2) as commits:
        running = asyncio.create_task(ask(commits, "a", "b"))
        await begun.wait()
        with pytest.raises(UnavailableError) as refused:
            await commits.submit(report("c"))
        assert int(refused.value.headers["Retry-After"]) > 0
        go.set()
        assert await running == [_done()] * 2
        assert await ask(commits, "c", "d") == [_done()] * 2


async def test_a_lost_answer_is_asked_for_again_once() -> None:
    lost = 1

    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        nonlocal lost
        if lost:
            lost -= 1
            raise AnswerLostError

    batches = Batches(script)
    async with group(batches) as commits:
        assert await ask(commits, "a", "b") == [_done()] * 2
        assert batches.lists == [(["a", "b"], False)] * 2
        lost = 2
        answers = await ask(commits, "c", "d")
        assert all(isinstance(answer, UnavailableError) for answer in answers)
        assert len(batches.lists) == 4
        assert await ask(commits, "e") == [_done()]


async def test_while_the_database_is_away_each_caller_has_an_error_of_its_own() -> None:
    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        raise UnavailableError("the database")

    batches = Batches(script)
    async with group(batches) as commits:
        answers = await ask(commits, "a", "b")
    assert all(isinstance(answer, UnavailableError) for answer in answers)
    assert answers[0] is not answers[1]
    assert len(batches.lists) == 1


async def test_a_busy_user_is_waited_for_beside_the_lane() -> None:
    free = asyncio.Event()

    async def script(names: list[str], patient: bool) -> Outcomes | None:  # noqa: FBT001 - the port's
        if patient:
            await free.wait()
            return None
        return [None if name.startswith("busy") else _done() for name in names]

    batches = Batches(script)
    async with group(batches) as commits:
        busy = asyncio.create_task(ask(commits, "busy1", "busy2"))
        assert await ask(commits, "a") == [_done()]
        assert await ask(commits, "b") == [_done()]  # the lane goes on
        assert not busy.done()
        free.set()
        assert await busy == [_done()] * 2
    assert (["busy1", "busy2"], True) in batches.lists


async def test_a_list_that_somebody_kept_waiting_is_run_singly() -> None:
    async def script(names: list[str], patient: bool) -> None:  # noqa: FBT001 - the port's
        if "locked" in names:
            raise ContendedError

    async with group(Batches(script)) as commits:
        first, locked = await ask(commits, "a", "locked")
        assert first == _done()
        assert isinstance(locked, UnavailableError)


async def test_who_has_waited_too_long_is_not_run_any_more() -> None:
    async def script(names: list[str], _patient: bool) -> None:  # noqa: FBT001 - the port's
        if names == ["a"]:
            await asyncio.sleep(0.05)

    batches = Batches(script)
    async with group(batches, patience=0.02, largest=1) as commits:
        first, late = await ask(commits, "a", "b")
        assert first == _done()
        assert isinstance(late, UnavailableError)
    assert batches.lists == [(["a"], False)]
