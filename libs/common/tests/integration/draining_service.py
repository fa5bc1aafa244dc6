"""A service to be stopped by the tests of signals: `python draining_service.py`, port by PORT."""

import asyncio
import gc
import linecache
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from aula_common.logging import configure_logging
from aula_common.settings import ServiceSettings
from aula_common.testing import TokenMint
from aula_common.web.app import create_service_app
from aula_common.web.server import run
from aula_common.web.sse import EventStreamResponse, sse_frame

router = APIRouter()
release = asyncio.Event()
idle = asyncio.Event()
generations: set[object] = set()


@router.get("/stream")
async def stream() -> EventStreamResponse:
    """Goes on until the drain has run for a while, then ends."""

    async def events() -> AsyncIterator[bytes]:
        generation = object()
        generations.add(generation)
        try:
            yield sse_frame("start")
            await release.wait()
            yield sse_frame("end")
        finally:
            generations.discard(generation)
            idle.set()

    return EventStreamResponse(events())


@router.get("/endless")
async def endless() -> EventStreamResponse:
    """Never ends by itself, and the drain does not wait for it."""

    async def events() -> AsyncIterator[bytes]:
        yield sse_frame("start")
        await asyncio.Event().wait()

    return EventStreamResponse(events())


@router.get("/slow")
async def slow() -> dict[str, str]:
    """An ordinary request that is answered when the drain has run for a while."""
    await app.state.drain.started.wait()
    await asyncio.sleep(0.3)
    return {"answer": "whole"}


@router.get("/left-of-the-start")
async def left_of_the_start() -> dict[str, int]:
    """How many objects no collection looks at any more, and whether a source is still held.

    And how many collections of the middle generation a full one comes after.
    """
    return {
        "frozen": gc.get_freeze_count(),
        "source": asyncio.__file__ in linecache.cache,
        "middle": gc.get_threshold()[2],
    }


linecache.getlines(asyncio.__file__)  # as whoever asks for the text of a stack


async def generations_ended() -> None:
    """Let the running streams end, as an engine does when its providers are done."""
    await asyncio.sleep(0.3)
    release.set()
    while generations:
        idle.clear()
        await idle.wait()


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Readiness is always fine, so that only the drain changes it."""

    async def ready() -> None: ...

    application.state.verifier = TokenMint().verifier("common")
    application.state.readiness = ready
    application.state.drain.wait_for(generations_ended)
    yield
    print("lifespan ended", flush=True)  # noqa: T201 - the test reads it


settings = ServiceSettings()
app = create_service_app(
    service="common", settings=settings, lifespan=lifespan, routers=[router], health_prefix="/api/c"
)

if __name__ == "__main__":
    configure_logging("common", settings.log_level)
    run(app, settings)
