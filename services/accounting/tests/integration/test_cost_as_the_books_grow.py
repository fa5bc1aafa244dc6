"""What one balance, reserve and settle reads among 100,000 users, beside what it reads among 100.

PostgreSQL's own counts of the buffers that each table and its indexes were asked for: they see
what runs inside a function, what keeps foreign keys, and what an insert reads to find its place.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from accounting_builders import (
    LEASE_SECONDS,
    Bank,
    finalize_request,
    open_bank,
    plain_url,
    postgres_settings,
    reserve_request,
)
from sqlalchemy import text

from aula_accounting.domain.streaming import ReserveOutcome, SettleOutcome, StreamingOperation
from aula_accounting.storage.streaming_batches import SqlStreamingBatches
from aula_common.postgres import connect
from aula_devstack.postgres_databases import create_database, database_url, drop_database

_ALLOCATIONS = 10  # of each user, and as many ledger rows
_USER = "usr_50"
_WARM_UPS = 8  # until every plan is one for all parameters
_MOST_TOUCHES = 30
_LEVELS = 2  # by which an index of a million entries may be deeper than one of a thousand

# no foreign key is looked after, row by row
_LOAD = """
SET session_replication_role = replica;
INSERT INTO accounts SELECT 'usr_' || u, {each} * 1000, 0, now() FROM generate_series(1, {users}) u;
INSERT INTO allocations (
    user_id, id, granted, remaining, held, charged, lapsed, revoked, expires_at, created_at,
    created_by)
SELECT 'usr_' || u, 'alc_' || u || '_' || a, 1000, 1000, 0, 0, 0, 0,
    timestamptz '2099-01-01' + a * interval '1 day', now(), 'admin'
FROM generate_series(1, {users}) u, generate_series(1, {each}) a;
INSERT INTO ledger_entries (user_id, kind, amount, allocation_id, actor_id, recorded_at)
SELECT 'usr_' || u, 'allocate', 1000, 'alc_' || u || '_' || a, 'admin', now()
FROM generate_series(1, {users}) u, generate_series(1, {each}) a;
INSERT INTO reservations (
    user_id, session_id, status, tombstone, service_id, rates, input_tokens, max_output_tokens,
    estimated, reserved, source_ids, source_amounts, started_at, lease_expires_at,
    tokens_generated, settled_at, settled_by, charged, lapsed, overrun)
SELECT 'usr_' || u, 'str_old_' || u, 'aborted', true, 'chat', '{{}}', 0, 0, 0, 0, '{{}}', '{{}}',
    now(), now(), 0, now(), 'chat', 0, 0, 0
FROM generate_series(1, {users}) u;
RESET session_replication_role;
"""
_COUNTS = """
    SELECT t.relname, t.seq_scan,
        coalesce(t.idx_scan, 0) + i.indexes * (t.n_tup_ins + t.n_tup_upd - t.n_tup_hot_upd)
            AS touches,
        b.heap_blks_hit + b.heap_blks_read + b.idx_blks_hit + b.idx_blks_read AS blocks
    FROM pg_stat_user_tables t
    JOIN pg_statio_user_tables b USING (relid)
    JOIN (SELECT relid, count(*) AS indexes FROM pg_stat_user_indexes GROUP BY 1) i USING (relid)
    WHERE t.relname <> 'rates'  -- which does not grow with the users, and fits in one page
"""
_FLUSH = "SELECT pg_stat_force_next_flush()"


@dataclass(frozen=True)
class Read:
    """What one operation asked of one table: how often it went down an index, and its buffers."""

    touches: int
    blocks: int
    seq_scans: int


class Library:
    """A database of so many users, and operations on it by one connection each way."""

    def __init__(self, bank: Bank, watcher: Any) -> None:
        self.bank = bank
        self._watcher = watcher
        self._connection: Any = None
        self._batches = SqlStreamingBatches(self._connect)

    async def _connect(self) -> Any:
        self._connection = await connect(
            postgres_settings(self.bank.url),
            application="test",
            settings={"plan_cache_mode": "force_generic_plan"},
        )
        return self._connection

    async def apply(self, operation: StreamingOperation) -> Any:
        """Run one operation as the hot path does."""
        [outcome] = await self._batches.apply(
            [operation],
            at=self.bank.clock.now(),
            lease=timedelta(seconds=LEASE_SECONDS),
            running_limit=1000,
            patient=False,
        )
        return outcome

    async def reads(self, work: Callable[[], Awaitable[Any]]) -> Mapping[str, Read]:
        """What the work asked of each table that it touched."""
        before = await self._counts()
        await work()
        await self._flush()
        after = await self._counts()
        return {
            name: Read(
                new.touches - before[name].touches,
                new.blocks - before[name].blocks,
                new.seq_scans - before[name].seq_scans,
            )
            for name, new in after.items()
            if new.blocks > before[name].blocks
        }

    async def _flush(self) -> None:
        await self._connection.execute(_FLUSH)
        async with self.bank.context.engine.connect() as connection:
            await connection.execute(text(_FLUSH))
            await connection.commit()

    async def _counts(self) -> Mapping[str, Read]:
        rows = await self._watcher.fetch(_COUNTS)
        return {
            row["relname"]: Read(row["touches"], row["blocks"], row["seq_scan"]) for row in rows
        }

    async def measure(self) -> Mapping[str, Mapping[str, Read]]:
        """What a balance, a reserve and a settle read, each warmed up on others."""

        async def reserve(user: str, mark: str) -> None:
            outcome = await self.apply(reserve_request(user, f"str_{mark}"))
            assert isinstance(outcome, ReserveOutcome)
            assert outcome.reservation is not None, outcome

        async def settle(user: str, mark: str) -> None:
            outcome = await self.apply(finalize_request(user, f"str_{mark}", output_tokens=300))
            assert isinstance(outcome, SettleOutcome)
            assert outcome.verdict == "settled"

        async def balance(user: str) -> None:
            found = await self.bank.context.credits.get_balance(user)
            assert len(found.allocations) == _ALLOCATIONS

        for number in range(1, _WARM_UPS + 1):
            await reserve(f"usr_{number}", f"warm_{number}")
            await settle(f"usr_{number}", f"warm_{number}")
            await balance(f"usr_{number}")
        await self._flush()
        return {
            "balance": await self.reads(lambda: balance(_USER)),
            "reserve": await self.reads(lambda: reserve(_USER, "one")),
            "settle": await self.reads(lambda: settle(_USER, "one")),
        }

    async def close(self) -> None:
        """End the connection."""
        await self._batches.close()


async def _measured(
    postgres_url: str, name: str, *, users: int
) -> Mapping[str, Mapping[str, Read]]:
    create_database(postgres_url, name)
    try:
        url = database_url(postgres_url, name, scheme="postgresql+asyncpg")
        async with open_bank(url, streams=1000) as bank:
            watcher = await asyncpg.connect(plain_url(url))
            try:
                await watcher.execute(_LOAD.format(users=users, each=_ALLOCATIONS))
                await watcher.execute("VACUUM (ANALYZE)")
                library = Library(bank, watcher)
                try:
                    return await library.measure()
                finally:
                    await library.close()
            finally:
                await watcher.close()
    finally:
        drop_database(postgres_url, name)


@pytest.mark.deep
async def test_what_is_read_grows_by_the_depth_of_the_indexes_alone(postgres_url: str) -> None:
    few = await _measured(postgres_url, "test_few_books", users=100)
    many = await _measured(postgres_url, "test_many_books", users=100_000)
    for operation, reads in many.items():
        assert "allocations" in reads, operation
        for table, read in reads.items():
            before = few[operation][table]
            told = (operation, table, before, read)
            assert read.seq_scans == 0, told
            assert read.blocks <= before.blocks + _LEVELS * read.touches, told
            assert read.touches <= _MOST_TOUCHES, told
