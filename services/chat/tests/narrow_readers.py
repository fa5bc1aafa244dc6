"""Readers on connections whose buffers are small, so that what they don't read is noticed soon."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from chat_builders import Caller, Chat
from waiting import PATIENCE

from aula_devstack.sse_client import SseEvent, SseParser

_SOCKET_BYTES = 4096


@dataclass(kw_only=True)
class NarrowReader:
    """Reads when it is told to; `events` is what it has read."""

    reader: asyncio.StreamReader
    events: list[SseEvent] = field(default_factory=list)
    received: int = 0
    _parser: SseParser = field(default_factory=SseParser)
    _rest: bytes = b""

    async def read(self) -> bool:
        """Take one part of the answer; False at its end, or where it was cut."""
        async with asyncio.timeout(2 * PATIENCE):
            try:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                data = await self.reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, OSError):
                return False
        self.received += size
        self.events += self._parser.feed(data[:-2])
        return size > 0

    async def read_all(self) -> list[SseEvent]:
        while await self.read():
            pass
        return self.events


@asynccontextmanager
async def narrow_reader(
    chat: Chat, caller: Caller, path: str, last_event_id: str | None = None
) -> AsyncIterator[NarrowReader]:
    """A reader whose own and whose connection's buffers hold a few kilobytes."""
    [listening] = [one for server in chat.server.servers for one in server.sockets]
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, listening.getsockname())
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**17)
    reader._limit = 1024  # type: ignore[attr-defined]  # it reads ahead of its reader up to twice that
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {caller.token}\r\n"
    if last_event_id is not None:
        head += f"Last-Event-ID: {last_event_id}\r\n"
    writer.write(f"{head}\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        yield NarrowReader(reader=reader)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def buffered(chat: Chat) -> list[int]:
    """The bytes that the process holds for each of its connections."""
    connections = chat.server.server_state.connections
    return [connection.transport.get_write_buffer_size() for connection in connections]
