"""PostgreSQL under accounting, as seen past it: what it locks, what it runs, how it rests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
from e2e_people import eventually
from fault_checks import Cell, Scene

from aula_devstack.parts import ACCOUNTING_DATABASE
from aula_devstack.platform import Platform

_OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)
_BLOCKER = "a test that locks"
_POOL = 10


class Ledger:
    """Accounting's database, asked by the test itself."""

    def __init__(self, connection: asyncpg.Connection, url: str) -> None:
        self._connection = connection
        self._url = url

    @asynccontextmanager
    async def locked(self, user_id: str) -> AsyncIterator[None]:
        """Nobody moves that user's credits inside the block."""
        blocker = await _connect(self._url, name=_BLOCKER)
        try:
            async with blocker.transaction():
                await blocker.execute(
                    "SELECT 1 FROM accounts WHERE user_id = $1 FOR UPDATE", user_id
                )
                yield
        finally:
            await blocker.close()

    async def terminate_backends(self) -> int:
        """End every connection of accounting's; how many of them were amid a transaction."""
        ended = await self._connection.fetch(
            f"SELECT xact_start, pg_terminate_backend(pid, 10000) AS ended {_OTHERS} "
            "AND application_name <> $1",
            _BLOCKER,
        )
        return sum(row["ended"] and row["xact_start"] is not None for row in ended)

    async def wait_for_lock(self) -> None:
        """Return when somebody waits for a lock; TimeoutError if nobody ever does."""

        async def waiting() -> bool:
            count = await self._connection.fetchval(
                f"SELECT count(*) {_OTHERS} AND wait_event_type = 'Lock'"
            )
            return bool(count)

        await eventually(waiting, every=0.01)

    async def left_open(self) -> list[str]:
        """The states of the connections that are in a transaction."""
        rows = await self._connection.fetch(f"SELECT state {_OTHERS} AND xact_start IS NOT NULL")
        return [str(row["state"]) for row in rows]


@asynccontextmanager
async def open_ledger(platform: Platform) -> AsyncIterator[Ledger]:
    """The database, for the time of the block."""
    url = platform.postgres.database_url(ACCOUNTING_DATABASE)
    connection = await _connect(url, name="a test")
    try:
        yield Ledger(connection, url)
    finally:
        await connection.close()


async def check_at_rest(cell: Cell, scene: Scene, platform: Platform) -> None:
    """No connection is left in a transaction, and accounting has all of its connections to use."""
    answers = await asyncio.gather(
        *(scene.student.client.get("/api/accounting/credits") for _ in range(2 * _POOL))
    )
    cell.check("pool whole", all(answer.status_code == httpx.codes.OK for answer in answers))
    async with open_ledger(platform) as ledger:

        async def at_rest() -> bool:
            return not await ledger.left_open()

        await cell.reach("nothing left in a transaction", at_rest)


async def _connect(url: str, *, name: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=20, server_settings={"application_name": name})
