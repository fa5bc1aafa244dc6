"""Long work is owned: it is logged when it dies and ended when the process ends."""

import asyncio
from contextlib import suppress

from structlog.testing import capture_logs

from aula_common.errors import UnavailableError
from aula_common.tasks import Supervisor


async def test_repeated_work_goes_on_after_errors() -> None:
    supervisor = Supervisor()
    rounds: list[int] = []
    enough = asyncio.Event()

    async def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise UnavailableError("auth")
        if len(rounds) == 2:
            raise ValueError(rounds)
        enough.set()

    supervisor.every(0, work, name="work")
    async with asyncio.timeout(1):
        await enough.wait()
    await supervisor.close()


async def test_closing_ends_tasks_and_those_they_start_at_their_end() -> None:
    supervisor = Supervisor()
    ended: list[str] = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("child")

    async def parent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            supervisor.spawn(child(), name="child")
            await asyncio.sleep(0)
            ended.append("parent")

    supervisor.spawn(parent(), name="parent")
    await asyncio.sleep(0)
    await supervisor.close()
    assert ended == ["parent", "child"]


async def test_closing_ends_repeated_work_that_swallows_the_cancellation() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = supervisor.every(3600, work, name="work")
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await supervisor.close(deadline=60)
    assert task.done()


async def test_closing_asks_again_when_a_cancellation_was_swallowed() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = supervisor.spawn(work(), name="work")
    await asyncio.sleep(0)
    with capture_logs() as lines:
        await supervisor.close(deadline=0.2)
    assert task.cancelled()
    assert lines == []


async def test_closing_does_not_wait_for_ever_for_a_task_that_will_not_end() -> None:
    supervisor = Supervisor()
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = supervisor.spawn(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await supervisor.close(deadline=0.01)
    assert not task.done()
    release.set()
    await task


async def test_an_unexpected_end_is_logged() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        raise ValueError("unexpected")

    with capture_logs() as lines:
        task = supervisor.spawn(work(), name="work")
        await asyncio.wait({task})
        await asyncio.sleep(0)
    (line,) = lines
    assert (line["event"], line["log_level"], line["task"]) == ("task died", "error", "work")
    assert isinstance(line["exc_info"], ValueError)
