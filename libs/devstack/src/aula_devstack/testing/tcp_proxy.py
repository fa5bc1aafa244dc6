"""A TCP proxy that misbehaves on request, to strike between two processes of a test.

It runs in a thread of its own, so that a test may block while it carries.
"""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

Result = TypeVar("Result")

_PIECE = 65536
_CALL_SECONDS = 10


class Strike(StrEnum):
    """What happens to a connection that sends what was armed for.

    SWALLOW passes it on and resets the connection when the server answers: the effect is there,
    nobody hears of it. HOLD keeps it back until `release`, and passes it on then even if the
    client has gone. RESET resets the connection and passes nothing on.
    """

    SWALLOW = "swallow"
    HOLD = "hold"
    RESET = "reset"


class _Armed:
    """What to wait for on any connection: these markers, one after another, sent by the client."""

    def __init__(self, markers: Sequence[bytes], strike: Strike, *, once: bool) -> None:
        self.markers = tuple(markers)
        self.strike = strike
        self.once = once


class _Connection:
    """Two ends, how much of what is armed this connection has sent, and when it carried last."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.carried_at = time.monotonic()
        self.down = 0
        self.swallows = False
        self.held = False
        self._armed: _Armed | None = None
        self._seen = 0
        self._tail = b""

    def completes(self, armed: _Armed | None, data: bytes) -> bool:
        """Whether the client has now sent all of the markers in their order."""
        if armed is not self._armed:
            self._armed, self._seen, self._tail = armed, 0, b""
        if armed is None:
            return False
        text = self._tail + data
        while self._seen < len(armed.markers):
            marker = armed.markers[self._seen]
            at = text.find(marker)
            if at < 0:
                self._tail = text[max(0, len(text) - len(marker) + 1) :]
                return False
            text = text[at + len(marker) :]
            self._seen += 1
        return True

    def reset(self) -> None:
        """End both sides with a RST."""
        for writer in (self.near, self.far):
            _reset(writer)


class TcpProxy:
    """Carries connections to `host:port`; its methods may be called from any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._released = asyncio.Event()
        self._struck = threading.Event()
        self._answered = threading.Event()
        self._armed: _Armed | None = None
        self._delay = 0.0
        self._cut_after: int | None = None
        self._refuses = False
        self.strikes = 0
        self.port = 0

    def delay(self, seconds: float) -> None:
        """Carry each piece so much later, both ways, from now on."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def freeze(self) -> None:
        """Carry nothing until `thaw`, and lose nothing; new connections are taken."""
        self._call(self._flows.clear)

    def thaw(self) -> None:
        """Carry on."""
        self._call(self._flows.set)

    def reset(self, *, idle_seconds: float = 0) -> int:
        """Reset all connections that have carried nothing for so long; how many there were."""
        return self._call(lambda: self._reset_idle(idle_seconds))

    def refuse(self) -> None:
        """Reset each new connection at once, until `accept`; those that are there stay."""
        self._call(lambda: setattr(self, "_refuses", True))

    def accept(self) -> None:
        """Take new connections again."""
        self._call(lambda: setattr(self, "_refuses", False))

    def cut_after(self, sent: int | None) -> None:
        """Reset a connection once so many bytes of the server's were carried, counted from now."""

        def begin() -> None:
            self._cut_after = sent
            for connection in self._connections:
                connection.down = 0

        self._call(begin)

    def arm(self, strike: Strike, *markers: bytes, once: bool = True) -> None:
        """Strike the next connection on which the client sends these one after another.

        Unless it is `once`, every such connection until something else is armed.
        """

        def begin() -> None:
            self._struck.clear()
            self._released.clear()
            self._answered.clear()
            self._armed = _Armed(markers, strike, once=once)

        self._call(begin)

    def wait_struck(self, *, within: float = 30) -> None:
        """Return when what was armed last has struck; TimeoutError if it does not."""
        if not self._struck.wait(within):
            raise TimeoutError("the proxy did not strike")

    def release(self) -> None:
        """Pass on what is held."""
        self._call(self._released.set)

    def wait_answered(self, *, within: float = 30) -> None:
        """Return when the server has answered what was held; TimeoutError if it does not."""
        if not self._answered.wait(within):
            raise TimeoutError("what was held was not answered")

    def through(self, url: str) -> str:
        """That address by way of the proxy."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    @contextmanager
    def running(self) -> Iterator["TcpProxy"]:
        """Listen on a free port inside the block."""
        thread = threading.Thread(target=self._loop.run_forever, name="tcp proxy", daemon=True)
        thread.start()
        listening = asyncio.start_server(self._carry, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(_CALL_SECONDS)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._call(server.close)
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_CALL_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _call(self, change: Callable[[], Result]) -> Result:
        """Change the state between two steps of the carrying, and wait until it is."""

        async def make() -> Result:
            return change()

        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(_CALL_SECONDS)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._there(connection, reader))
                group.create_task(self._back(connection, far_reader))
        except* OSError:
            connection.reset()  # one end has gone, by itself or by us
        finally:
            self._connections.discard(connection)
            for end in (writer, far_writer):
                end.close()

    async def _there(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE):
            connection.carried_at = time.monotonic()
            if connection.completes(self._armed, data):
                await self._strike(connection)
            await self._pass(connection.far, data)
        connection.far.write_eof()

    async def _back(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE):
            connection.carried_at = time.monotonic()
            if connection.held:
                connection.held = False
                self._answered.set()
            if connection.swallows:
                self._note_strike()
                raise ConnectionResetError
            if self._cut_after is not None:
                allowed = self._cut_after - connection.down
                if len(data) >= allowed:
                    await self._pass(connection.near, data[:allowed])
                    raise ConnectionResetError
            connection.down += len(data)
            await self._pass(connection.near, data)
        connection.near.write_eof()

    async def _strike(self, connection: _Connection) -> None:
        assert self._armed is not None  # noqa: S101 - it is what was completed
        armed = self._armed
        if armed.once:
            self._armed = None
        match armed.strike:
            case Strike.SWALLOW:
                connection.swallows = True
            case Strike.HOLD:
                self._note_strike()
                await self._released.wait()
                connection.held = True
            case Strike.RESET:
                self._note_strike()
                raise ConnectionResetError

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._flows.wait()
        writer.write(data)
        await writer.drain()

    def _note_strike(self) -> None:
        self.strikes += 1
        self._struck.set()

    def _reset_idle(self, seconds: float) -> int:
        before = time.monotonic() - seconds
        idle = [connection for connection in self._connections if connection.carried_at <= before]
        for connection in idle:
            connection.reset()
        return len(idle)

    async def _end(self) -> None:
        """Have every connection end by itself: what is frozen or held is of no use any more."""
        self._released.set()
        self._flows.set()
        self._reset_idle(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_CALL_SECONDS / 2)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def tcp_proxy(url: str) -> Iterator[TcpProxy]:
    """A proxy before the server of that address; `through(url)` is the address to give away."""
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101 - a test's own address
    assert parts.port is not None  # noqa: S101 - likewise
    with TcpProxy(parts.hostname, parts.port).running() as proxy:
        yield proxy
