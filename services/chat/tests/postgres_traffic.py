"""The statements that a process sends to PostgreSQL, read from its connections on their way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

_SSL_REQUEST = 80877103
_INT = 4


class PostgresTraffic:
    """The statements that were run, in order, by their text."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    async def read(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Pass on what a client sends, from after its start on, and note what it runs."""
        prepared: dict[bytes, str] = {}
        bound: dict[bytes, bytes] = {}
        while True:
            kind = await client.readexactly(1)
            length = await client.readexactly(_INT)
            body = await client.readexactly(int.from_bytes(length, "big") - _INT)
            match kind:
                case b"P":
                    name, text, _ = body.split(b"\0", 2)
                    prepared[name] = text.decode()
                case b"B":
                    portal, name, _ = body.split(b"\0", 2)
                    bound[portal] = name
                case b"E":
                    self.statements.append(prepared[bound[body.partition(b"\0")[0]]])
                case b"Q":
                    self.statements.append(body.rstrip(b"\0").decode())
            server.write(kind + length + body)
            await server.drain()


@asynccontextmanager
async def recorded_postgres(url: str) -> AsyncIterator[tuple[PostgresTraffic, str]]:
    """The traffic of all who connect by the other address instead of this."""
    parts = urlsplit(url)
    traffic = PostgresTraffic()
    writers: set[asyncio.StreamWriter] = set()

    async def carry(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, there = await asyncio.open_connection(parts.hostname, parts.port)
        writers.update((back, there))
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _pass_start(near, back, there)
            async with asyncio.TaskGroup() as both:
                both.create_task(traffic.read(near, there), name="to PostgreSQL")
                both.create_task(_pass(far, back), name="from PostgreSQL")
        for writer in (back, there):
            writer.close()
        writers.difference_update((back, there))

    async def carry_quietly(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(BaseExceptionGroup):  # either side has ended it
            await carry(near, back)

    server = await asyncio.start_server(carry_quietly, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    account = parts.netloc.rpartition("@")[0]
    try:
        yield traffic, urlunsplit(parts._replace(netloc=f"{account}@{host}:{port}"))
    finally:
        server.close()
        for writer in list(writers):
            writer.close()
        await server.wait_closed()


async def _pass_start(
    near: asyncio.StreamReader, back: asyncio.StreamWriter, there: asyncio.StreamWriter
) -> None:
    """The first message, which has no type; TLS is refused, so that the rest can be read."""
    while True:
        length = await near.readexactly(_INT)
        body = await near.readexactly(int.from_bytes(length, "big") - _INT)
        if int.from_bytes(body[:_INT], "big") != _SSL_REQUEST:
            there.write(length + body)
            return
        back.write(b"N")


async def _pass(far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    while data := await far.read(65536):
        back.write(data)
        await back.drain()
    raise ConnectionError
