"""A proxy that counts how often the client asks and the server answers: round trips."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Turns:
    """Counts a turn whenever the client sends after the server has sent."""

    def __init__(self) -> None:
        self.count = 0

    async def carry(
        self, near: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: str, port: int
    ) -> None:
        """Carry one connection to its end."""
        reader, writer = near
        far_reader, far_writer = await asyncio.open_connection(host, port)
        asked = False

        async def there() -> None:
            nonlocal asked
            while data := await reader.read(65536):
                if not asked:
                    self.count += 1
                asked = True
                far_writer.write(data)
                await far_writer.drain()
            far_writer.close()

        async def back() -> None:
            nonlocal asked
            while data := await far_reader.read(65536):
                asked = False
                writer.write(data)
                await writer.drain()
            writer.close()

        await asyncio.gather(there(), back(), return_exceptions=True)


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[tuple[str, Turns]]:
    """That address by way of a counting proxy, and its count."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    turns = Turns()
    server = await asyncio.start_server(
        lambda reader, writer: turns.carry((reader, writer), host, port), "127.0.0.1", 0
    )
    here = server.sockets[0].getsockname()[1]
    credentials = parts.netloc.rpartition("@")[0]
    async with server:
        yield urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{here}")), turns
