"""The phases of a stream, and a victim that waits at one of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from fault_checks import Cell, Place, Victim

from aula_devstack.platform import Platform
from aula_devstack.servers.service import Service

P1 = Place("P1 reserved", "reserved")
P2 = Place("P2 asked", "asked")
P3 = Place("P3 amid tokens", "chunk", 20)
P4 = Place("P4 usage in", "answered")
P5 = Place("P5 stored", "stored")
P6 = Place("P6 settled", "settled")

Begin = Callable[[str, str], Cell]
MakeVictim = Callable[..., Victim]


@asynccontextmanager
async def paused(victim: Victim, place: Place) -> AsyncIterator[None]:
    """The block runs while the victim waits at the place; then it goes on.

    At P5 and P6 it goes on by itself when accounting's answer has been waited for long enough.
    """
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    try:
        yield
    finally:
        victim.failpoints.release(place.name)


@contextmanager
def replica(platform: Platform, service: str, **environment: str) -> Iterator[Service]:
    """Another process of a service, with these variables of its own."""
    process = platform.add_replica(service, environment=environment)
    try:
        yield process
    finally:
        process.resume()
        process.kill()
