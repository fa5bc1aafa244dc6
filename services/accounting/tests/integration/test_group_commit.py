"""Lists of operations on real PostgreSQL: what they cost, and that members fail alone."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from accounting_builders import (
    LEASE_SECONDS,
    SONNET,
    Bank,
    finalize_request,
    open_bank,
    plain_url,
    reserve_request,
)
from turns import counted

from aula_accounting.domain.credits import Grant
from aula_accounting.domain.errors import AllocationRevokedError
from aula_accounting.domain.rates import Rate
from aula_accounting.domain.streaming import ProgressReport, Reservation
from aula_common.errors import UnavailableError

_WITHIN_SECONDS = 30


async def _together(*work: Any) -> list[Any]:
    async with asyncio.timeout(_WITHIN_SECONDS):
        return await asyncio.gather(*work, return_exceptions=True)


async def _backends_waiting(watcher: Any) -> list[int]:
    """The backends of the hot path that wait for a lock, once there are any."""
    async with asyncio.timeout(_WITHIN_SECONDS):
        while True:
            rows = await watcher.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND application_name = 'aula-accounting-streaming'"
            )
            if rows:
                return [row["pid"] for row in rows]


async def test_each_operation_is_one_round_trip_and_so_is_a_list_of_many(
    postgres_database: str,
) -> None:
    async with (
        counted(postgres_database) as (url, turns),
        open_bank(url, streams=100) as bank,
    ):
        await bank.give("usr_a", 1000)
        await bank.reserve("usr_a", "str_first")  # connects and prepares

        async def cost(work: Callable[[], Awaitable[Any]]) -> int:
            before = turns.count
            await work()
            return turns.count - before

        progress = ProgressReport(session_id="str_1", user_id="usr_a", tokens_generated=1)
        assert await cost(lambda: bank.reserve("usr_a", "str_1")) == 1
        assert await cost(lambda: bank.context.streaming.report_progress(progress)) == 1
        assert await cost(lambda: bank.finalize("usr_a", "str_1", output_tokens=100)) == 1
        assert await cost(lambda: bank.abort("usr_a", "str_first")) == 1
        many = [bank.reserve("usr_a", f"str_many_{number}") for number in range(20)]
        assert await cost(lambda: _together(*many)) == 1


async def test_a_member_that_the_database_refuses_fails_alone(bank: Bank) -> None:
    await bank.execute(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'poisoned'; END $$",
        "CREATE TRIGGER poison BEFORE INSERT ON reservations FOR EACH ROW "
        "WHEN (NEW.session_id = 'str_poison') EXECUTE FUNCTION poison()",
    )
    users = [f"usr_{number}" for number in range(6)]
    for user in users:
        await bank.give(user, 100)
    results = await _together(
        *(bank.reserve(user) for user in users[:3]),
        bank.reserve("usr_0", "str_poison"),
        *(bank.reserve(user) for user in users[3:]),
    )
    assert isinstance(results[3], asyncpg.RaiseError)
    assert all(isinstance(one, Reservation) for one in results[:3] + results[4:]), results
    assert await bank.discrepancies() == []


# longer than a test waits: who waits for a lock of another's fails it
_ENDLESS: dict[str, Any] = {
    "database_lock_timeout_ms": 120_000,
    "database_statement_timeout_ms": 120_000,
}


async def test_an_account_that_is_locked_keeps_nobody_else_waiting(
    postgres_database: str,
) -> None:
    async with open_bank(postgres_database, **_ENDLESS) as bank:
        for user in ("usr_a", "usr_b"):
            await bank.give(user, 100)
        blocker = await asyncpg.connect(plain_url(bank.url))
        try:
            async with blocker.transaction():
                await blocker.execute("SELECT 1 FROM accounts WHERE user_id = 'usr_a' FOR UPDATE")
                locked = [asyncio.create_task(bank.reserve("usr_a", f"str_{n}")) for n in range(2)]
                for number in range(5):
                    async with asyncio.timeout(_WITHIN_SECONDS):
                        await bank.reserve("usr_b", f"str_b{number}")
                assert not any(task.done() for task in locked)
            reserved = await _together(*locked)
        finally:
            await blocker.close()
        assert all(isinstance(one, Reservation) for one in reserved), reserved


async def test_a_member_that_waits_in_a_list_for_too_long_fails_alone(
    postgres_database: str,
) -> None:
    async with open_bank(postgres_database, database_lock_timeout_ms=200) as bank:
        for user in ("usr_a", "usr_b"):
            await bank.give(user, 100)
        await bank.reserve("usr_a", "str_a")
        blocker = await asyncpg.connect(plain_url(bank.url))
        try:
            async with blocker.transaction():
                # the reservation and not its account: an older version's heartbeat does that
                await blocker.execute("SELECT 1 FROM reservations FOR UPDATE")
                ended, reserved = await _together(
                    bank.finalize("usr_a", "str_a"), bank.reserve("usr_b", "str_b")
                )
        finally:
            await blocker.close()
        assert isinstance(ended, UnavailableError)
        assert isinstance(reserved, Reservation)
        await bank.finalize("usr_a", "str_a")
        assert await bank.discrepancies() == []


async def test_a_backend_terminated_amid_a_list_costs_nobody_anything(bank: Bank) -> None:
    users = [f"usr_{number}" for number in range(4)]
    for user in users:
        await bank.give(user, 100)
    await bank.reserve("usr_0", "str_0")
    watcher = await asyncpg.connect(plain_url(bank.url))
    blocker = await asyncpg.connect(plain_url(bank.url))
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT 1 FROM reservations FOR UPDATE")
            waiting = asyncio.create_task(
                _together(bank.finalize("usr_0", "str_0"), *(bank.reserve(u) for u in users))
            )
            [backend] = await _backends_waiting(watcher)
            assert await watcher.fetchval("SELECT pg_terminate_backend($1)", backend)
            [again] = await _until(
                lambda: _backends_waiting(watcher), lambda now: backend not in now
            )
            assert again != backend
        results = await waiting
    finally:
        await blocker.close()
        await watcher.close()
    assert all(isinstance(one, Reservation) for one in results), results
    rows = await bank.query("SELECT count(*) FROM ledger_entries WHERE kind = 'hold'")
    assert rows[0][0] == 5
    assert await bank.discrepancies() == []


async def _until(look: Callable[[], Awaitable[Any]], fits: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(_WITHIN_SECONDS):
        while not fits(found := await look()):
            pass
    return found


async def test_a_user_without_an_account_may_use_what_costs_nothing(bank: Bank) -> None:
    free = Rate(
        model_id="free", input_rate=Decimal(0), output_rate=Decimal(0), starts_at=bank.clock.now()
    )
    await bank.context.rates.put([(free, True)], actor_id="admin")
    await bank.reserve("usr_new", "str_1", model_ids=("free",))
    settled = await bank.finalize("usr_new", "str_1", output_tokens=10)
    assert settled.reserved == 0
    assert await bank.discrepancies() == []


async def test_an_account_that_an_allocation_is_about_to_open_is_waited_for_beside_the_lane(
    postgres_database: str,
) -> None:
    async with open_bank(postgres_database, **_ENDLESS) as bank:
        await bank.give("usr_b", 100)
        opener = await asyncpg.connect(plain_url(bank.url))
        try:
            async with opener.transaction():
                await opener.execute("INSERT INTO accounts VALUES ('usr_new', 0, 0, now())")
                aborted = asyncio.create_task(bank.abort("usr_new", "str_1"))
                async with asyncio.timeout(_WITHIN_SECONDS):
                    await bank.reserve("usr_b")
                    await bank.reserve("usr_b")
                assert not aborted.done()
            async with asyncio.timeout(_WITHIN_SECONDS):
                assert (await aborted).tombstone
        finally:
            await opener.close()


@pytest.mark.parametrize("lanes", [1, 3])
async def test_lists_allocations_revocations_and_sweeps_never_deadlock(
    postgres_database: str, lanes: int
) -> None:
    async with open_bank(
        postgres_database, streams=1000, lanes=lanes, database_lock_timeout_ms=5000
    ) as bank:
        users = [f"usr_{number}" for number in range(8)]
        for user in users:
            await bank.give(user, 10_000)
        spare = [await bank.give(user, 50, lives=10**8) for user in users]
        accepted = 0

        async def allocate(turn: int) -> None:
            known = users[:: (-1) ** turn]
            grant = Grant(
                user_ids=(*known, f"usr_new_{turn}"), credits=5, expires_at=None, note=None
            )
            await bank.context.credits.allocate(grant, actor_id="admin", key=f"key_{turn}")

        async def stream(user: str, mark: str) -> None:
            nonlocal accepted
            await bank.reserve(user, f"str_{user}_{mark}")
            ends = bank.abort if mark.endswith("1") else bank.finalize
            await ends(user, f"str_{user}_{mark}", model_id=SONNET, output_tokens=100)
            accepted += 1

        async def overdue(user: str, mark: str) -> None:
            await bank.reserve(user, f"str_{user}_{mark}_left")
            bank.clock.advance(LEASE_SECONDS)
            await bank.sweep()

        for turn in range(12):
            results = await _together(
                *(stream(user, f"{turn}_{n}") for n in range(2) for user in users[:: (-1) ** turn]),
                allocate(turn),
                bank.abort(f"usr_new_{turn}", f"str_new_{turn}"),
                overdue(users[turn % 8], str(turn)),
                bank.sweep(),
                bank.context.credits.revoke(
                    spare[turn % 8].id, actor_id="admin", key=f"revoke_{turn}"
                ),
            )
            bad = [
                one
                for one in results
                if isinstance(one, BaseException) and not isinstance(one, AllocationRevokedError)
            ]
            assert bad == [], bad
        assert accepted == 12 * 16
        await bank.sweep()  # what a sweep amid it has left to others
        assert await bank.discrepancies() == []
        rows = await bank.query(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        assert rows[0][0] == 0


async def test_two_processes_share_one_hot_user(postgres_database: str) -> None:
    async with (
        open_bank(postgres_database, streams=1000) as one,
        open_bank(postgres_database, streams=1000) as other,
    ):
        await one.give("usr_a", 1000)
        results = await _together(
            *(bank.reserve("usr_a") for _ in range(30) for bank in (one, other))
        )
        assert all(isinstance(result, Reservation) for result in results), results
        await _together(
            *(
                other.context.streaming.settle(finalize_request("usr_a", result.session_id))
                for result in results
            )
        )
        assert (await one.context.credits.get_balance("usr_a")).held == 0
        assert await one.discrepancies() == []


async def test_a_closed_context_has_answered_what_was_asked(postgres_database: str) -> None:
    async with open_bank(postgres_database, streams=1000) as bank:
        await bank.give("usr_a", 1000)
        asked = [
            asyncio.create_task(bank.context.streaming.initialize(reserve_request("usr_a")))
            for _ in range(100)
        ]
        await asyncio.sleep(0)
    assert all(isinstance(task.result(), Reservation) for task in asked)
