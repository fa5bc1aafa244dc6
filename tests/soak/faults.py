"""The faults of a soak: each strikes, lasts, and is healed before it returns."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import redis
from soak.schedule import Strike
from soak.world import World

from aula_devstack.temporary import temporary_home

_POLL_SECONDS = 0.02
_END_SECONDS = 30
_EVENTS_BEFORE_RESTORE = 20

_Fault = Callable[[World, Strike], Awaitable[None]]


def arm(world: World, strike: Strike) -> None:
    """Before the round: have the victim fail at a place, if the strike names one."""
    if strike.place is not None:
        action = "exit" if strike.action == "kill at" else "freeze"
        world.failpoints[strike.victim].arm(strike.place, action)


async def inject(world: World, strike: Strike) -> None:
    """Strike when the round has come so far, and heal; count it, or that it found nobody."""
    if strike.action != "misbehave":  # the provider does so by what it is asked
        await _reached(world, strike.after)
        if strike.place is not None and not await _comes_to(world, strike.victim, strike.place):
            world.counts["strikes missed"] += 1
            return
        await _FAULTS[strike.action](world, strike)
    world.counts[f"fault: {strike.kind}"] += 1


async def _comes_to(world: World, victim: str, place: str) -> bool:
    """Whether the victim fails at the place in this round.

    It doesn't where it refused the stream that was meant for it, and another process wrote it.
    """
    failpoints = world.failpoints[victim]
    while world.running and not failpoints.struck(place):  # noqa: ASYNC110 - another process's file
        await asyncio.sleep(_POLL_SECONDS)
    return failpoints.struck(place) or not failpoints.disarm(place)


async def _reached(world: World, events: int) -> None:
    while world.running and world.shown < events:  # noqa: ASYNC110 - the readers count them
        await asyncio.sleep(_POLL_SECONDS)


async def _kill(world: World, strike: Strike) -> None:
    process = world.platform.process(strike.victim)
    await asyncio.to_thread(process.kill)
    await asyncio.sleep(strike.seconds)
    await world.start(process)


async def _freeze(world: World, strike: Strike) -> None:
    process = world.platform.process(strike.victim)
    process.suspend()
    await asyncio.sleep(strike.seconds)
    process.resume()


async def _terminate(world: World, strike: Strike) -> None:
    process = world.platform.process(strike.victim)
    process.terminate()
    assert await asyncio.to_thread(process.wait_ended, _END_SECONDS), f"{process.name} does not end"
    await asyncio.sleep(strike.seconds)
    await world.start(process)


async def _strike_at(world: World, strike: Strike) -> None:
    process = world.platform.process(strike.victim)
    if strike.action == "kill at":
        assert await asyncio.to_thread(process.wait_ended, _END_SECONDS), "SIGKILL did not strike"
        await asyncio.sleep(strike.seconds)
        await world.start(process)
    else:
        await asyncio.sleep(strike.seconds)
        process.resume()


async def _flush(world: World, _strike: Strike) -> None:
    with redis.Redis.from_url(world.platform.redis.url) as client:
        client.flushall()


async def _restore(world: World, _strike: Strike) -> None:
    """Redis comes back from what it had a while ago, as after a failover that lost its tail."""
    server = world.platform.redis
    with temporary_home("aula-soak-older-") as home:
        older = Path(home) / "redis"
        await asyncio.to_thread(server.stop)
        shutil.copytree(server.data, older)
        await world.start(server)
        await _reached(world, world.shown + _EVENTS_BEFORE_RESTORE)
        await asyncio.to_thread(server.kill)
        shutil.rmtree(server.data)
        shutil.copytree(older, server.data)
        await world.start(server)


_FAULTS: dict[str, _Fault] = {
    "kill": _kill,
    "kill at": _strike_at,
    "freeze": _freeze,
    "freeze past lease": _freeze,
    "freeze at": _strike_at,
    "terminate": _terminate,
    "flush": _flush,
    "restore": _restore,
}
