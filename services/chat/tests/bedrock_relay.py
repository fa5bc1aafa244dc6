"""A relay to the local Bedrock endpoint, which counts connections and cuts answers to pieces."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def relay(
    url: str, *, piece: int = 65536, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, Collection[object]]]:
    """A relay to `url` that hands its answers on in pieces of so many bytes.

    Its own address, and what grows by one with each connection.
    """
    target = urlsplit(url)
    ended: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ended.add(task)
        there, upstream = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(
            _pass_on(reader, upstream, piece=65536), _pass_on(there, writer, piece=piece)
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        address = f"localhost:{server.sockets[0].getsockname()[1]}"
        yield f"{'https' if tls else 'http'}://{address}", ended
    finally:
        server.close()
        await asyncio.gather(*ended)  # the client has closed its connections by now


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, piece: int
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            for start in range(0, len(data), piece):
                writer.write(data[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)  # lets the piece leave before the next is written
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
