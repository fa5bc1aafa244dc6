"""Runs an application: uvicorn, and an end that waits for running work."""

import asyncio
import gc
import linecache
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from aula_common.logging import get_logger
from aula_common.settings import ServiceSettings
from aula_common.web.drain import Drain
from aula_common.web.protocol import Protocol

_log = get_logger(__name__)
_MIDDLE_COLLECTIONS_FOR_A_FULL_ONE = 100  # one in some 1,500 streams, or 700,000 objects kept


class DrainingServer(uvicorn.Server):
    """On the first SIGTERM or SIGINT it drains and then ends; a second ends it at once."""

    def __init__(self, config: uvicorn.Config, *, drain: Drain, deadline: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._deadline = deadline
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False

    async def serve(self, sockets: Any = None) -> None:
        """Serve until asked to end."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: Any = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        settle()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's
        """Called in the main thread, between two instructions, when a signal comes."""
        if self._asked or self._loop is None:
            self.should_exit = self.force_exit = True
        else:
            self._asked = True
            self._loop.call_soon_threadsafe(self._start_drain)

    def _start_drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain_and_exit(), name="drain")

    async def _drain_and_exit(self) -> None:
        try:
            await self._drain.run(self._deadline)
        finally:
            self.should_exit = True


def settle() -> None:
    """Called when all is imported and connected: what only the start needed is given back.

    What is there then stays to the end, and is not looked through again for garbage: that took
    100 ms of a running process at a time. With hundreds of streams what came since takes as long,
    and next to nothing of it is garbage that only a full collection finds.
    """
    linecache.clearcache()  # 2 MB of sources: a driver keeps the text of the stack it was made in
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_COLLECTIONS_FOR_A_FULL_ONE)


def run(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve the application until SIGTERM; returns after a clean end."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )
    server = DrainingServer(config, drain=app.state.drain, deadline=settings.drain_deadline)
    server.run()
    if not server.started:
        raise SystemExit(3)
