"""The proxy of the fault tests does what it says to real connections, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from aula_devstack.testing.tcp_proxy import Strike, TcpProxy, tcp_proxy

SOON = 10


class EchoServer:
    """Answers each line with itself, and remembers what it has heard."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.news = asyncio.Condition()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                async with self.news:
                    self.heard.append(line)
                    self.news.notify_all()
                writer.write(line)
                await writer.drain()
        except OSError:
            pass  # the client has gone
        finally:
            writer.close()

    async def has_heard(self, line: bytes) -> None:
        async with asyncio.timeout(SOON), self.news:
            await self.news.wait_for(lambda: line in self.heard)


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    server = EchoServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[TcpProxy]:
    with tcp_proxy(f"tcp://127.0.0.1:{echo.port}") as running:
        yield running


class Client:
    """One connection by way of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, line: bytes) -> None:
        self.writer.write(line)

    async def read(self, size: int = -1) -> bytes:
        async with asyncio.timeout(SOON):
            return await (self.reader.readline() if size < 0 else self.reader.readexactly(size))

    async def asks(self, line: bytes) -> bytes:
        self.send(line)
        return await self.read()


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def connect(proxy: TcpProxy) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def make() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield make
    for client in clients:
        client.writer.transport.abort()
        with suppress(OSError):
            await client.writer.wait_closed()


async def test_carries_both_ways_and_ends_with_either_end(connect: Connect) -> None:
    one, two = await connect(), await connect()
    assert await one.asks(b"one\n") == b"one\n"
    assert await two.asks(b"two\n") == b"two\n"
    one.writer.write_eof()
    assert await one.read() == b""
    assert await two.asks(b"still\n") == b"still\n"


async def test_swallows_the_answer_of_what_is_armed_and_of_nothing_else(
    proxy: TcpProxy, echo: EchoServer, connect: Connect
) -> None:
    bystander, client = await connect(), await connect()
    proxy.arm(Strike.SWALLOW, b"begin", b"commit")
    assert await bystander.asks(b"commit\n") == b"commit\n"
    assert await client.asks(b"begin\n") == b"begin\n"
    client.send(b"com")
    await client.writer.drain()
    client.send(b"mit\n")
    with pytest.raises(ConnectionResetError):
        await client.read()
    await asyncio.to_thread(proxy.wait_struck)
    assert (echo.heard[-1], proxy.strikes) == (b"commit\n", 1)
    again = await connect()
    assert await again.asks(b"begin commit\n") == b"begin commit\n"


async def test_holds_a_request_beyond_its_clients_end(
    proxy: TcpProxy, echo: EchoServer, connect: Connect
) -> None:
    client, other = await connect(), await connect()
    proxy.arm(Strike.HOLD, b"late")
    client.send(b"late\n")
    await asyncio.to_thread(proxy.wait_struck)
    client.writer.close()
    assert await other.asks(b"early\n") == b"early\n"
    assert echo.heard == [b"early\n"]
    proxy.release()
    await echo.has_heard(b"late\n")


async def test_tells_when_what_it_held_is_answered(proxy: TcpProxy, connect: Connect) -> None:
    client, other = await connect(), await connect()
    proxy.arm(Strike.HOLD, b"late")
    client.send(b"late\n")
    await asyncio.to_thread(proxy.wait_struck)
    assert await other.asks(b"early\n") == b"early\n"
    with pytest.raises(TimeoutError):
        proxy.wait_answered(within=0)
    proxy.release()
    await asyncio.to_thread(proxy.wait_answered)
    assert await client.read() == b"late\n"


async def test_resets_before_anything_is_passed_on(
    proxy: TcpProxy, echo: EchoServer, connect: Connect
) -> None:
    client = await connect()
    proxy.arm(Strike.RESET, b"never")
    client.send(b"never\n")
    with pytest.raises(ConnectionResetError):
        await client.read()
    assert (echo.heard, proxy.strikes) == ([], 1)


async def test_strikes_until_something_else_is_armed(proxy: TcpProxy, connect: Connect) -> None:
    proxy.arm(Strike.RESET, b"never", once=False)
    for _ in range(3):
        client = await connect()
        client.send(b"never\n")
        with pytest.raises(ConnectionResetError):
            await client.read()
    proxy.arm(Strike.RESET, b"something else")
    client = await connect()
    assert await client.asks(b"never\n") == b"never\n"
    assert proxy.strikes == 3


async def test_cuts_after_so_many_bytes(proxy: TcpProxy, connect: Connect) -> None:
    client = await connect()
    assert await client.asks(b"before\n") == b"before\n"
    proxy.cut_after(10)
    assert await client.asks(b"1234567\n") == b"1234567\n"
    client.send(b"abcdef\n")
    assert await client.read(2) == b"ab"
    with pytest.raises(ConnectionResetError):
        await client.read()
    proxy.cut_after(None)
    whole = await connect()
    assert await whole.asks(b"a line beyond it\n") == b"a line beyond it\n"


async def test_freezes_and_loses_nothing(
    proxy: TcpProxy, echo: EchoServer, connect: Connect
) -> None:
    client = await connect()
    await client.asks(b"warm\n")
    proxy.freeze()
    client.send(b"frozen\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.read()
    assert echo.heard == [b"warm\n"]
    proxy.thaw()
    assert await client.read() == b"frozen\n"


async def test_delays_each_piece(proxy: TcpProxy, connect: Connect) -> None:
    client = await connect()
    proxy.delay(0.1)
    began = asyncio.get_running_loop().time()
    assert await client.asks(b"late\n") == b"late\n"
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_resets_what_there_is_and_refuses_what_comes(
    proxy: TcpProxy, connect: Connect
) -> None:
    client = await connect()
    await client.asks(b"warm\n")
    proxy.refuse()
    assert await client.asks(b"stays\n") == b"stays\n"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await client.read()
    with pytest.raises(ConnectionResetError):
        await (await connect()).read()
    proxy.accept()
    taken = await connect()
    assert await taken.asks(b"again\n") == b"again\n"


def test_an_address_through_it_keeps_all_but_host_and_port(proxy: TcpProxy) -> None:
    url = "postgresql+asyncpg://someone:pass@127.0.0.1:5432/name?a=b"
    there = f"postgresql+asyncpg://someone:pass@127.0.0.1:{proxy.port}/name?a=b"
    assert proxy.through(url) == there
