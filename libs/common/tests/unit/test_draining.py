"""The drain waits for what runs, bounded, whatever fails."""

import asyncio

from aula_common.web.drain import Drain


async def test_it_waits_for_registered_work_and_held_requests() -> None:
    drain = Drain()
    work = asyncio.Event()

    async def finished() -> None:
        await work.wait()

    drain.wait_for(finished)
    release = [drain.hold(), drain.hold()]
    running = asyncio.create_task(drain.run(5))
    await drain.started.wait()
    work.set()
    release[0]()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not running.done()
    release[1]()
    release[1]()  # twice is once
    await asyncio.wait_for(running, 1)


async def test_work_that_fails_neither_cuts_the_other_nor_keeps_the_process() -> None:
    drain = Drain()
    work = asyncio.Event()
    seen: list[str] = []

    async def failing() -> None:
        raise ValueError("unexpected")

    async def finished() -> None:
        await work.wait()
        seen.append("finished")

    drain.wait_for(failing)
    drain.wait_for(finished)
    running = asyncio.create_task(drain.run(5))
    await drain.started.wait()
    await asyncio.sleep(0)
    work.set()
    await asyncio.wait_for(running, 1)
    assert seen == ["finished"]


async def test_it_ends_at_its_deadline() -> None:
    drain = Drain()
    drain.hold()
    async with asyncio.timeout(1):
        await drain.run(0.01)
    assert drain.active
