"""A reader on a bare socket, which may leave, or take its time, as no HTTP client would."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from urllib.parse import urlsplit

import h11
from e2e_people import Person, Shown

from aula_devstack.sse_client import SseParser

_PIECE = 4096
# by both of these the sender's side is small too: some 100 KB instead of megabytes
_NARROW_BYTES = 2048
_NARROW_SEGMENT = 512


class Leave(StrEnum):
    """How a client ends its connection: a FIN of good order, or a RST."""

    FIN = "FIN"
    RST = "RST"


class RawReader:
    """One request and what was read of its answer."""

    def __init__(self, sock: socket.socket) -> None:
        self.shown = Shown()
        self._socket = sock
        self._http = h11.Connection(our_role=h11.CLIENT)
        self._events = SseParser()
        self._over = False

    async def send(self, person: Person, method: str, url: str, body: object = None) -> None:
        """Ask, as this person."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {
            "Host": urlsplit(url).netloc,
            "Authorization": person.client.headers["Authorization"],
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
        }
        path = urlsplit(url).path
        request = h11.Request(method=method, target=path, headers=list(headers.items()))
        data = self._http.send(request) + self._http.send(h11.Data(content))
        await self._loop.sock_sendall(self._socket, data + self._http.send(h11.EndOfMessage()))

    async def read_until(self, holds: Callable[[Shown], object], *, within: float = 60) -> None:
        """Read until it was shown what makes this true."""
        async with asyncio.timeout(within):
            while not holds(self.shown):
                data = await self._loop.sock_recv(self._socket, _PIECE)
                assert data, [event.event for event in self.shown.events]
                self._take(data)

    async def read_rest(self, *, within: float = 60) -> bool:
        """Read what there is until it ends; whether it ended in good order."""
        async with asyncio.timeout(within):
            while not self._over:
                try:
                    data = await self._loop.sock_recv(self._socket, _PIECE)
                except OSError:
                    break
                if not data:
                    break
                self._take(data)
        return self._over

    def leave(self, how: Leave) -> None:
        """End the connection."""
        if how is Leave.RST:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _take(self, data: bytes) -> None:
        self._http.receive_data(data)
        while isinstance(event := self._http.next_event(), h11.Response | h11.Data):
            if isinstance(event, h11.Response):
                assert event.status_code == 200, event
            else:
                self.shown.events += self._events.feed(bytes(event.data))
        self._over = isinstance(event, h11.EndOfMessage)


@asynccontextmanager
async def raw_reader(url: str, *, narrow: bool = False) -> AsyncIterator[RawReader]:
    """A connection to that address, closed at the end; a narrow one takes little unread."""
    parts = urlsplit(url)
    with socket.socket() as sock:
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _NARROW_SEGMENT)
        sock.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (parts.hostname, parts.port))
        yield RawReader(sock)
