"""What common's own tests build: applications, served by the real server in the test's loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from aula_common.settings import ServiceSettings
from aula_common.testing import TokenMint
from aula_common.web.app import create_service_app
from aula_common.web.protocol import Protocol


def build_settings(**values: Any) -> ServiceSettings:
    return ServiceSettings(**{"aula_env": "development", "port": 0, **values})


def build_app(*routers: APIRouter, mint: TokenMint | None = None, **settings: Any) -> FastAPI:
    """An application made by the house's factory, its readiness always fine."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def ready() -> None: ...

        app.state.verifier = (mint or TokenMint()).verifier("common")
        app.state.readiness = ready
        yield

    return create_service_app(
        service="common",
        settings=build_settings(**settings),
        lifespan=lifespan,
        routers=routers,
        health_prefix="/api/common",
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which belong to the test runner's process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(app: Any, *, lifespan: str = "on") -> AsyncIterator[int]:
    """Serve on a free port, which is yielded, as `aula_common.web.server` configures it."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=Protocol,
        ws="none",
        lifespan=lifespan,  # type: ignore[arg-type]  # uvicorn's literal
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task


async def until(condition: Any, *, seconds: float = 5) -> None:
    """Return once `condition()` is true; fail after so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to offer
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(port: int, request: bytes = b"") -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which this was sent, to read from; closed at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    try:
        writer.write(request)
        yield reader
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def get(path: str) -> bytes:
    """A plain GET."""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes, read one answer to its declared length."""
    async with connected(port, request) as reader:
        return await read_answer(reader)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name, and the body of declared length (else none)."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines: Sequence[str] = head.split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(lines[0].split()[1]), headers, body
