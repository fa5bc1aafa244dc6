"""What the sweeper ends, and what it leaves to others."""

import asyncio

import asyncpg
import pytest
from accounting_builders import LEASE_SECONDS, Bank, finalize_request, open_bank, plain_url

from aula_accounting.domain.streaming import (
    ProgressReport,
    ReservationStatus,
    SettlementKind,
    SettleVerdict,
)
from aula_accounting.storage.unit_of_work import start_work


async def _progress(bank: Bank, session_id: str, tokens: int) -> None:
    await bank.context.streaming.report_progress(
        ProgressReport(session_id=session_id, user_id="usr_a", tokens_generated=tokens)
    )


@pytest.mark.parametrize(("shown", "charged"), [(0, 0), (100, 2), (10_000, 4)])
async def test_an_overdue_stream_is_settled_at_its_last_progress(
    bank: Bank, shown: int, charged: int
) -> None:
    await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    if shown:
        await _progress(bank, "str_1", shown)
    bank.clock.advance(LEASE_SECONDS)
    assert await bank.sweep() == 1
    reservation, _ = await bank.context.streaming.get_session("str_1", user_id=None)
    assert reservation.status is ReservationStatus.EXPIRED
    assert reservation.settlement is not None
    assert (reservation.settlement.charged, reservation.settlement.by) == (charged, "sweeper")
    assert (await bank.context.credits.get_balance("usr_a")).available == 10 - charged
    assert await bank.discrepancies() == []


async def test_a_lease_is_not_prolonged_by_progress_and_not_cut_before_its_end(bank: Bank) -> None:
    await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(LEASE_SECONDS - 1)
    await _progress(bank, "str_1", 5)
    assert await bank.sweep() == 0
    bank.clock.advance(1)
    assert await bank.sweep() == 1


async def test_a_sweep_of_what_is_not_due_any_more_leaves_it(bank: Bank) -> None:
    await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    async with start_work(bank.context.engine) as work:
        too_early = finalize_request(
            "usr_a", "str_1", kind=SettlementKind.SWEEP, status=ReservationStatus.EXPIRED
        )
        [outcome] = await work.streaming.settle([too_early], at=bank.clock.now())
        await work.commit()
    assert outcome.verdict is SettleVerdict.NOT_DUE
    assert (await bank.context.credits.get_balance("usr_a")).held == 4


async def test_a_finalize_after_the_sweep_is_answered_with_it_and_moves_nothing(bank: Bank) -> None:
    await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(LEASE_SECONDS)
    await bank.sweep()
    before = await bank.entries("usr_a")
    late = await bank.finalize("usr_a", "str_1", output_tokens=900)
    assert late.status is ReservationStatus.EXPIRED
    assert late.settlement is not None
    assert late.settlement.charged == 0
    assert await bank.entries("usr_a") == before


async def test_many_sweepers_settle_each_reservation_once(postgres_database: str) -> None:
    async with open_bank(postgres_database, streams=200) as bank:
        for user in range(40):
            await bank.give(f"usr_{user}", 100)
            for number in range(3):
                await bank.reserve(f"usr_{user}", f"str_{user}_{number}")
        bank.clock.advance(LEASE_SECONDS)
        swept = await asyncio.gather(*(bank.sweep() for _ in range(6)))
        assert sum(swept) == 120
        assert await bank.discrepancies() == []


async def test_a_locked_account_is_left_to_whoever_has_locked_it(bank: Bank) -> None:
    for user in ("usr_a", "usr_b"):
        await bank.give(user, 10)
        await bank.reserve(user)
    bank.clock.advance(LEASE_SECONDS)
    other = await asyncpg.connect(plain_url(bank.url))
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM accounts WHERE user_id = 'usr_a' FOR UPDATE")
            assert await bank.sweep() == 1
        assert await bank.sweep() == 1
    finally:
        await other.close()


async def test_a_reservation_that_can_not_be_settled_does_not_hold_up_its_neighbours(
    bank: Bank,
) -> None:
    for user in ("usr_a", "usr_b", "usr_c"):
        await bank.give(user, 10)
        await bank.reserve(user)
    # What is held of it is gone: its settlement would break a check, whoever tries.
    await bank.execute(
        "UPDATE allocations SET held = 0, charged = charged + held WHERE user_id = 'usr_b'"
    )
    bank.clock.advance(LEASE_SECONDS)
    assert await bank.sweep() == 2
    for user in ("usr_a", "usr_c"):
        assert (await bank.context.credits.get_balance(user)).held == 0


async def test_what_is_left_of_an_expired_allocation_is_written_off_once(bank: Bank) -> None:
    allocation = await bank.give("usr_a", 10, lives=60)
    await bank.give("usr_a", 7)
    await bank.sweep()
    bank.clock.advance(60)
    assert (await bank.context.credits.get_balance("usr_a")).available == 7
    for _ in range(2):
        await bank.sweep()
    assert (await bank.allocation(allocation.id)).lapsed == 10
    assert await bank.entries("usr_a") == [("allocate", 10), ("allocate", 7), ("expire", 10)]
    assert await bank.discrepancies() == []


async def test_a_hold_is_honoured_after_its_allocation_expired_and_was_written_off(
    bank: Bank,
) -> None:
    allocation = await bank.give("usr_a", 10, lives=60)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(60)
    await bank.sweep()
    settled = await bank.finalize("usr_a", "str_1", output_tokens=1000)
    assert settled.settlement is not None
    assert (settled.settlement.charged, settled.settlement.lapsed) == (3, 1)
    ended = await bank.allocation(allocation.id)
    assert (ended.charged, ended.lapsed, ended.remaining) == (3, 7, 0)
    assert await bank.discrepancies() == []


async def test_old_idempotency_keys_are_dropped_after_a_week(bank: Bank) -> None:
    await bank.give("usr_a", 1)
    bank.clock.advance(7 * 86_400 - 1)
    assert (await bank.context.sweeper.sweep()).keys == 0
    bank.clock.advance(1)
    assert (await bank.context.sweeper.sweep()).keys == 1
