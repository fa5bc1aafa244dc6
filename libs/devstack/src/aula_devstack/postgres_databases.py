"""Create and drop databases on a PostgreSQL server, from synchronous code."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

import asyncpg

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def database_url(server_url: str, name: str, *, scheme: str = "postgresql") -> str:
    """The address of another database on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(scheme=scheme, path=f"/{name}"))


def create_database(server_url: str, name: str) -> None:
    """Create an empty database; raises asyncpg's DuplicateDatabaseError if it exists."""
    _execute(server_url, f"CREATE DATABASE {_plain(name)}")


def ensure_database(server_url: str, name: str) -> None:
    """Create the database unless it exists."""
    try:
        create_database(server_url, name)
    except asyncpg.DuplicateDatabaseError:
        return


def drop_database(server_url: str, name: str) -> None:
    """Drop the database if it exists, ending the connections to it."""
    _execute(server_url, f"DROP DATABASE IF EXISTS {_plain(name)} WITH (FORCE)")


def _plain(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"not a plain database name: {name!r}")
    return name


def _execute(server_url: str, statement: str) -> None:
    async def run() -> None:
        url = urlunsplit(urlsplit(server_url)._replace(scheme="postgresql"))
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    _in_a_loop_of_its_own(run)


def _in_a_loop_of_its_own(run: Callable[[], Awaitable[None]]) -> None:
    # in a thread, because the caller's may have an event loop already
    async def main() -> None:
        await run()

    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(lambda: asyncio.run(main())).result()
