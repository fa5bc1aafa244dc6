"""Runs ASGI applications on real ports, inside the test's own loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from aula_common.web.protocol import Protocol


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are pytest's own."""
        yield


class RunningServer:
    """One application on one port, which it keeps over a stop and a start."""

    def __init__(self, app: Any, *, lifespan: str = "off") -> None:
        self._app = app
        self._lifespan = lifespan
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def buffered(self) -> list[int]:
        """The bytes that wait at each connection for its reader."""
        assert self._server is not None, "it does not run"
        connections = self._server.server_state.connections
        return [connection.transport.get_write_buffer_size() for connection in connections]

    async def start(self) -> None:
        """Listen."""
        config = uvicorn.Config(
            self._app,
            host="127.0.0.1",
            port=self.port,
            http=Protocol,
            ws="none",
            lifespan="on" if self._lifespan == "on" else "off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(20):
            while not self._server.started:
                if self._task.done():
                    await self._task
                    message = "the application did not start"
                    raise RuntimeError(message)
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await self._task
        self._server = self._task = None


@asynccontextmanager
async def serving(app: Any, *, lifespan: str = "off") -> AsyncIterator[RunningServer]:
    """The application on a port of its own, stopped afterwards."""
    server = RunningServer(app, lifespan=lifespan)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
