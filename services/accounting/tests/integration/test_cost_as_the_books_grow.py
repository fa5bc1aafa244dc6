"""What one balance, reserve and settle reads among 100,000 users, beside what it reads among 100.

Twice over. By EXPLAIN (ANALYZE, BUFFERS) of each whole statement, which auto_explain tells the
client: all that it reads, with what runs inside its function and what keeps foreign keys. And by
PostgreSQL's own counts for each index and each table, with the same plans in both databases: the
planner reads a table of 100 rows as a whole.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median_low
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
from sqlalchemy import event, text

from aula_accounting.domain.streaming import ReserveOutcome, SettleOutcome, StreamingOperation
from aula_accounting.storage.streaming_batches import SqlStreamingBatches
from aula_common.postgres import connect
from aula_devstack.postgres_databases import create_database, database_url, drop_database

_ALLOCATIONS = 10  # of each user, and as many ledger rows
_USERS, _OTHER_USERS = range(50, 57), range(60, 67)
_WARM_UPS = 8  # until every plan is one for all parameters
_MOST_DESCENTS = 4  # of one index by one operation
_PAGES = 2  # of a table: a new row finds its place at once, or on another page
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
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",  # which goes to the client
}
# an index is gone down by each scan of it, and by each row that is put into it
_COUNTS = """
    SELECT s.indexrelname AS name, 'index' AS kind,
        s.idx_scan + t.n_tup_ins + t.n_tup_upd - t.n_tup_hot_upd AS times,
        i.idx_blks_hit + i.idx_blks_read AS blocks
    FROM pg_stat_user_indexes s
    JOIN pg_statio_user_indexes i USING (indexrelid)
    JOIN pg_stat_user_tables t ON t.relid = s.relid
    UNION ALL
    SELECT t.relname, 'table', t.seq_scan, b.heap_blks_hit + b.heap_blks_read
    FROM pg_stat_user_tables t JOIN pg_statio_user_tables b USING (relid)
    WHERE t.relname <> 'rates'  -- which does not grow with the users, and fits in one page
"""
_FLUSH = "SELECT pg_stat_force_next_flush()"


@dataclass(frozen=True)
class Read:
    """How many blocks an operation asked of an index or a table.

    `times` is how often the index was gone down, or the table read as a whole.
    """

    kind: str
    times: int
    blocks: int


_NOTHING = Read("", 0, 0)


@dataclass(frozen=True)
class Cost:
    """What one operation read: by EXPLAIN in all, and by the counts of what it touched."""

    explained: int
    reads: Mapping[str, Read]

    @property
    def indexes(self) -> int:
        """How many indexes it touched."""
        return sum(read.kind == "index" for read in self.reads.values())


class Library:
    """A database of so many users, and operations on it by one connection each way."""

    def __init__(self, bank: Bank, watcher: Any) -> None:
        self.bank = bank
        self._watcher = watcher
        self._connection: Any = None
        self._batches = SqlStreamingBatches(self._connect)
        self._plans: list[dict[str, Any]] = []

    async def _connect(self) -> Any:
        self._connection = await connect(
            postgres_settings(self.bank.url),
            application="test",
            settings={"plan_cache_mode": "force_generic_plan"},
        )
        self._listen(self._connection)
        return self._connection

    def _listen(self, connection: Any) -> None:
        def note(_connection: object, told: Any) -> None:
            _, found, plan = told.message.partition("plan:\n")
            if found and _FLUSH not in plan:
                self._plans.append(json.loads(plan)["Plan"])

        connection.add_log_listener(note)

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

    async def cost(self, work: Callable[[], Awaitable[Any]]) -> Cost:
        """What the work read."""
        before = await self._counts()
        self._plans.clear()
        await work()
        await self._flush()
        after = await self._counts()
        assert self._plans, "auto_explain told nothing"
        return Cost(
            sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in self._plans),
            {
                name: Read(
                    new.kind, new.times - before[name].times, new.blocks - before[name].blocks
                )
                for name, new in after.items()
                if new.blocks > before[name].blocks
            },
        )

    async def _flush(self) -> None:
        await self._connection.execute(_FLUSH)
        async with self.bank.context.engine.connect() as connection:
            await connection.execute(text(_FLUSH))
            await connection.commit()

    async def _counts(self) -> Mapping[str, Read]:
        rows = await self._watcher.fetch(_COUNTS)
        return {row["name"]: Read(row["kind"], row["times"], row["blocks"]) for row in rows}

    async def measure(self, *, users: range) -> Mapping[str, Cost]:
        """What a balance, a reserve and a settle of these users read, warmed up on others."""
        engine = self.bank.context.engine
        await engine.dispose()  # connections from before the settings of now

        def listen(connection: Any, _record: object) -> None:
            self._listen(connection.driver_connection)

        async def reserve(user: str) -> None:
            outcome = await self.apply(reserve_request(user, f"str_{user}_{users.start}"))
            assert isinstance(outcome, ReserveOutcome)
            assert outcome.reservation is not None, outcome

        async def settle(user: str) -> None:
            session = f"str_{user}_{users.start}"
            outcome = await self.apply(finalize_request(user, session, output_tokens=300))
            assert isinstance(outcome, SettleOutcome)
            assert outcome.verdict == "settled"

        async def balance(user: str) -> None:
            found = await self.bank.context.credits.get_balance(user)
            assert len(found.allocations) == _ALLOCATIONS

        operations = {"balance": balance, "reserve": reserve, "settle": settle}
        costs: dict[str, list[Cost]] = {name: [] for name in operations}
        event.listen(engine.sync_engine, "connect", listen)
        try:
            for number in range(1, _WARM_UPS + 1):
                for work in (reserve, settle, balance):
                    await work(f"usr_{number}")
            await self._flush()
            for number in users:
                for name, work in operations.items():
                    costs[name].append(await self.cost(partial(work, f"usr_{number}")))
        finally:
            event.remove(engine.sync_engine, "connect", listen)
            await self._batches.close()
        return {name: _middle(of_users) for name, of_users in costs.items()}


def _middle(costs: Sequence[Cost]) -> Cost:
    """The middle of what an operation read: now and then a row goes to a page of its own."""
    names = set[str]().union(*(cost.reads for cost in costs))
    reads = {name: [cost.reads.get(name, _NOTHING) for cost in costs] for name in names}
    return Cost(
        median_low(cost.explained for cost in costs),
        {
            name: Read(
                max(read.kind for read in ones),
                median_low(read.times for read in ones),
                median_low(read.blocks for read in ones),
            )
            for name, ones in reads.items()
        },
    )


@dataclass(frozen=True)
class Figures:
    """What each operation costs, as it is planned and with the plans of many users."""

    as_planned: Mapping[str, Cost]
    by_indexes: Mapping[str, Cost]


async def _measured(postgres_url: str, name: str, *, users: int) -> Figures:
    create_database(postgres_url, name)
    try:
        url = database_url(postgres_url, name, scheme="postgresql+asyncpg")
        async with open_bank(url, streams=1000) as bank:
            watcher = await asyncpg.connect(plain_url(url))
            try:
                await watcher.execute(_LOAD.format(users=users, each=_ALLOCATIONS))
                await watcher.execute("VACUUM (ANALYZE)")
                for setting, value in _EXPLAIN.items():
                    await watcher.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
                as_planned = await Library(bank, watcher).measure(users=_USERS)
                await watcher.execute(f"ALTER DATABASE {name} SET enable_seqscan = off")
                by_indexes = await Library(bank, watcher).measure(users=_OTHER_USERS)
                return Figures(as_planned, by_indexes)
            finally:
                await watcher.close()
    finally:
        drop_database(postgres_url, name)


@pytest.mark.deep
async def test_what_is_read_grows_by_the_depth_of_the_indexes_alone(postgres_url: str) -> None:
    few = await _measured(postgres_url, "test_few_books", users=100)
    many = await _measured(postgres_url, "test_many_books", users=100_000)
    for operation, cost in many.as_planned.items():
        before = few.as_planned[operation]
        told = (operation, before, cost)
        assert before.explained >= sum(read.blocks for read in before.reads.values()), told
        assert cost.explained <= before.explained + _LEVELS * cost.indexes, told
        assert not any(read.times for read in cost.reads.values() if read.kind == "table"), told
    for operation, cost in many.by_indexes.items():
        assert cost.reads.keys() == few.by_indexes[operation].reads.keys(), operation
        for name, read in cost.reads.items():
            less = few.by_indexes[operation].reads[name]
            told_of = (operation, name, less, read)
            assert read.times == less.times, told_of
            if read.kind == "index":
                assert read.blocks <= less.blocks + _LEVELS * read.times, told_of
                assert read.times <= _MOST_DESCENTS, told_of
            else:
                assert read.blocks <= less.blocks + _PAGES, told_of
