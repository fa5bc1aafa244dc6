"""A TCP proxy before PostgreSQL that can swallow the acknowledgement of a commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class CommitSwallower:
    """Once armed, passes the next COMMIT on and cuts that connection before its answer.

    Only a transaction whose statements carry `marker` counts: a background task may be at work.
    """

    def __init__(self, host: str, port: int, *, marker: bytes) -> None:
        self._host, self._port, self._marker = host, port, marker
        self._armed = False
        self.swallowed = 0

    def arm(self) -> None:
        """Swallow the acknowledgement of the next commit."""
        self._armed = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        cut = asyncio.Event()

        async def there() -> None:
            marked = False
            while data := await reader.read(65536):
                marked = marked or (self._armed and self._marker in data)
                if self._armed and marked and b"COMMIT" in data:
                    self._armed = False
                    cut.set()
                far_writer.write(data)

        async def back() -> None:
            while data := await far_reader.read(65536):
                if cut.is_set():  # the database has committed and says so; nobody hears it
                    self.swallowed += 1
                    return
                writer.write(data)

        tasks = [asyncio.create_task(there()), asyncio.create_task(back())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()


@asynccontextmanager
async def swallowing_proxy(
    url: str, *, marker: bytes
) -> AsyncIterator[tuple[CommitSwallower, str]]:
    """The proxy, and the database's address through it."""
    parts = urlsplit(url)
    swallower = CommitSwallower(parts.hostname or "127.0.0.1", parts.port or 5432, marker=marker)
    server = await asyncio.start_server(swallower.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    credentials = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
    try:
        yield swallower, through
    finally:
        server.close()
