"""Answers that nobody takes: what is buffered for them is not kept for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from common_builders import build_app, get, serve, until
from fastapi import APIRouter, FastAPI, Response

import aula_common.web.protocol
from aula_common.web.protocol import Protocol

SIZE = 16_000_000  # beyond what the kernel's buffers take


def application() -> FastAPI:
    router = APIRouter()

    @router.get("/large")
    async def large() -> Response:
        return Response(b"x" * SIZE)

    return build_app(router)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Protocol]:
    """The server's connections, in the order of their beginning; cut after a second unread."""
    made: list[Protocol] = []
    begin = Protocol.connection_made

    def connection_made(self: Protocol, transport: asyncio.Transport) -> None:
        made.append(self)
        begin(self, transport)

    monkeypatch.setattr(Protocol, "connection_made", connection_made)
    monkeypatch.setattr(aula_common.web.protocol, "_UNREAD_SECONDS", 1)
    return made


@asynccontextmanager
async def asking(port: int, request: bytes) -> AsyncIterator[socket.socket]:
    """A connection that has asked and reads nothing by itself."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(sock, request)
        yield sock


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
async def test_an_answer_of_which_nothing_is_taken_is_dropped(
    connections: list[Protocol], last: bytes
) -> None:
    request = get("/large").replace(b"\r\n\r\n", b"\r\n" + last + b"\r\n")
    async with serve(application()) as port, asking(port, request):
        await until(lambda: bool(connections) and connections[0].cycle is not None)
        transport = connections[0].transport
        await until(lambda: transport.get_write_buffer_size() > 0)
        await until(lambda: transport.get_write_buffer_size() == 0)  # and nobody has read it
        await until(lambda: connections[0] not in connections[0].connections)


async def test_an_answer_that_is_taken_slowly_is_whole(connections: list[Protocol]) -> None:
    loop = asyncio.get_running_loop()
    async with serve(application()) as port, asking(port, get("/large")) as sock:
        received, began = 0, loop.time()
        async with asyncio.timeout(60):
            while received < SIZE:
                data = await loop.sock_recv(sock, 100_000)
                assert data, "it was cut"
                received += len(data)
                await asyncio.sleep(0.02)
    assert loop.time() - began > 2
