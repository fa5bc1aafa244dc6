"""A list of operations does what its members do one by one, though it reads and writes but once."""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from accounting_builders import (
    HAIKU,
    LEASE_SECONDS,
    OPUS,
    SONNET,
    Bank,
    abort_request,
    finalize_request,
    open_bank,
    plain_url,
    postgres_settings,
    reserve_request,
)

from aula_accounting.domain.errors import ReservationConflictError
from aula_accounting.domain.quotas import QuotaKey, QuotaMetric, QuotaPeriod, QuotaScope
from aula_accounting.domain.streaming import (
    ProgressReport,
    Reservation,
    ReserveRequest,
    SettleRequest,
    StreamingOperation,
    StreamingOutcome,
)
from aula_accounting.storage.streaming_batches import SqlStreamingBatches
from aula_common.postgres import connect
from aula_devstack.postgres_databases import create_database, database_url, drop_database

_USERS = ("usr_a", "usr_a", "usr_a", "usr_b", "usr_c")
_RUNNING = 6


@asynccontextmanager
async def _batches(bank: Bank) -> AsyncIterator[SqlStreamingBatches]:
    batches = SqlStreamingBatches(
        partial(connect, postgres_settings(bank.url), application="test", settings={})
    )
    try:
        yield batches
    finally:
        await batches.close()


async def _apply(
    batches: SqlStreamingBatches, bank: Bank, operations: Sequence[StreamingOperation]
) -> Sequence[StreamingOutcome | None]:
    return await batches.apply(
        operations,
        at=bank.clock.now(),
        lease=timedelta(seconds=LEASE_SECONDS),
        running_limit=_RUNNING,
        patient=True,
    )


def _rank(operation: StreamingOperation) -> tuple[int, str]:
    """The order in which a list is worked off; what ranks the same stays as it came."""
    kinds = (ReserveRequest, SettleRequest, ProgressReport)
    return kinds.index(type(operation)), operation.user_id


def _random_operation(chance: random.Random, turn: int) -> StreamingOperation:
    """Most are one user's; each turn brings new streams, and meets some of the turns before."""
    user = chance.choice(_USERS)
    session = f"str_{user}_{4 * turn + chance.randrange(9)}"
    if chance.random() < 0.1:
        session = f"str_shared_{chance.randrange(4)}"
    match chance.choice(("reserve", "reserve", "finalize", "abort", "report")):
        case "reserve":
            models = tuple(
                chance.sample((SONNET, HAIKU, OPUS, "unknown"), chance.choice((1, 1, 2)))
            )
            return reserve_request(
                user, session, model_ids=models, output_tokens=chance.choice((0, 500, 3000)),
                digest=chance.choice(("d1", "d1", "d1", "d2")),
            )  # fmt: skip
        case "finalize":
            return finalize_request(
                user, session, model_id=chance.choice((None, None, SONNET, HAIKU)),
                output_tokens=chance.choice((0, 100, 5000)), duration_ms=1500,
            )  # fmt: skip
        case "abort":
            return abort_request(user, session, output_tokens=chance.choice((0, 200)))
        case _:
            return ProgressReport(
                session_id=session, user_id=user, tokens_generated=chance.randrange(50)
            )


async def _prepare(bank: Bank, *, quotas: bool) -> None:
    for user in sorted({*_USERS}):
        await bank.give(user, 15, lives=50)
        await bank.give(user, 25, lives=90)
        await bank.give(user, 90)
    if quotas:
        key = QuotaKey(
            scope=QuotaScope.USER, subject_id="usr_b", metric=QuotaMetric.MESSAGES,
            period=QuotaPeriod.DAY,
        )  # fmt: skip
        await bank.context.quotas.put([(key, 3)], actor_id="admin")


async def _books(bank: Bank) -> list[Any]:
    """Everything that was moved, but for the ids that are new in each database."""
    queries = (
        "SELECT user_id, remaining, held, low_below FROM accounts ORDER BY 1",
        """
        SELECT user_id, granted, remaining, held, charged, lapsed FROM allocations
        ORDER BY user_id, granted
        """,
        """
        SELECT user_id, session_id, status, tombstone, reserved, source_amounts, charged, lapsed,
            overrun, tokens_generated, counted
        FROM reservations ORDER BY session_id
        """,
        """
        SELECT e.user_id, session_id, kind, amount, a.granted FROM ledger_entries e
        LEFT JOIN allocations a ON a.id = e.allocation_id ORDER BY 1, 2, 3, 5, 4
        """,
        "SELECT user_id, messages, tokens, compute_seconds, credits FROM quota_days",
    )
    return [[tuple(row) for row in await bank.query(query)] for query in queries]


def _words(outcome: Any) -> Any:
    """An outcome without what differs from one database to the other: allocations' ids."""
    reservation = outcome.reservation
    if reservation is None:
        return outcome
    amounts = tuple(source.amount for source in reservation.sources)
    return replace(outcome, reservation=None), replace(reservation, sources=()), amounts


@pytest.fixture
def second_database(postgres_url: str) -> Iterator[str]:
    """Another database, for the same to be done one by one."""
    name = f"test_{secrets.token_hex(8)}"
    create_database(postgres_url, name)
    yield database_url(postgres_url, name, scheme="postgresql+asyncpg")
    drop_database(postgres_url, name)


@pytest.mark.parametrize("quotas", [False, True])
@pytest.mark.parametrize("seed", range(2))
async def test_a_list_does_what_its_members_do_one_by_one(
    postgres_database: str, second_database: str, seed: int, *, quotas: bool
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same lists each time
    seen: set[str] = set()
    async with (
        open_bank(postgres_database) as together,
        open_bank(second_database) as apart,
        _batches(together) as batches,
        _batches(apart) as singly,
    ):
        for bank in (together, apart):
            await _prepare(bank, quotas=quotas)
        for turn in range(12):
            size = chance.choice((3, 10, 30))
            listed = [_random_operation(chance, turn) for _ in range(size)]
            places = sorted(range(size), key=lambda place: _rank(listed[place]))
            got = await _apply(batches, together, listed)
            for place in places:
                [expected] = await _apply(singly, apart, [listed[place]])
                assert _words(got[place]) == _words(expected), (seed, listed[place])
                verdict = getattr(expected, "verdict", "reported")
                seen.add(f"{type(listed[place]).__name__} {verdict}")
            assert await _books(together) == await _books(apart)
            for bank in (together, apart):
                bank.clock.advance(12)
        for bank in (together, apart):
            assert await bank.discrepancies() == []
    wanted = {"reserved", "conflict", "settled", "unpriced", "too_many"}
    wanted |= {"quota"} if quotas else set()
    assert {f"ReserveRequest {word}" for word in wanted} <= seen, seen
    assert {f"SettleRequest {word}" for word in ("settled", "already", "unknown")} <= seen, seen


async def test_a_sweep_that_waits_for_a_heartbeat_takes_what_it_reported(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    report = [{"place": 0, "session_id": "str_1", "user_id": "usr_a", "tokens_generated": 400}]
    sweep = {"place": 0, "kind": "sweep", "session_id": "str_1", "user_id": "usr_a"}
    sweep |= {"actor_id": "sweeper", "status": "expired", "unsplit_tokens": 0}
    heartbeat = await asyncpg.connect(plain_url(bank.url))
    sweeper = await asyncpg.connect(plain_url(bank.url))
    try:
        async with heartbeat.transaction():
            await heartbeat.execute(
                "SELECT place FROM report_progress($1, now())", json.dumps(report)
            )
            settling = asyncio.create_task(
                sweeper.fetchrow(
                    "SELECT (f.reservation).* FROM settle_credits($1, '2100-01-01') f",
                    json.dumps([sweep]),
                )
            )
            await _until_one_waits(bank)
        row = await settling
    finally:
        await heartbeat.close()
        await sweeper.close()
    assert (row["status"], row["used_output_tokens"], row["charged"]) == ("expired", 400, 3)
    assert row["tokens_generated"] == 400
    assert await bank.discrepancies() == []


async def test_of_two_lists_that_take_one_id_the_later_is_asked_again(bank: Bank) -> None:
    for user in ("usr_a", "usr_b", "usr_c"):
        await bank.give(user, 100)
    request = json.dumps([{"place": 0, **asdict(reserve_request("usr_a", "str_1"))}])
    first = await asyncpg.connect(plain_url(bank.url))
    try:
        async with first.transaction():
            reserve = "SELECT place FROM reserve_credits($1, now(), '5 min', 5)"
            await first.execute(reserve, request)
            both = asyncio.gather(
                bank.reserve("usr_b", "str_1"), bank.reserve("usr_c", "str_2"),
                return_exceptions=True,
            )  # fmt: skip
            await _until_one_waits(bank)
        conflict, neighbour = await both
    finally:
        await first.close()
    assert isinstance(conflict, ReservationConflictError)
    assert isinstance(neighbour, Reservation)
    balance = await bank.context.credits.get_balance("usr_b")
    assert (balance.available, balance.held) == (100, 0)
    assert await bank.discrepancies() == []


async def _until_one_waits(bank: Bank) -> None:
    waiting = (
        "SELECT FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not await bank.query(waiting):  # noqa: ASYNC110 - the database tells no event
        await asyncio.sleep(0.01)
