"""Credits expire by an entry of the ledger, whoever else moves them at that moment."""

import asyncio
from typing import Any

import asyncpg
import pytest
from accounting_builders import Bank, plain_url

from aula_accounting.domain.errors import CreditsHeldError, InsufficientCreditsError

_ROUNDS = 25


async def _together(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


async def test_expiry_reserve_and_settle_at_once_add_up(bank: Bank) -> None:
    await bank.give("usr_a", 1_000_000)
    for number in range(_ROUNDS):
        allocation = await bank.give("usr_a", 20, lives=60)
        await bank.reserve("usr_a", f"str_{number}")
        await bank.reserve("usr_a", f"str_{number}_late")
        bank.clock.advance(60)
        work = [
            bank.finalize("usr_a", f"str_{number}", output_tokens=300),
            bank.reserve("usr_a", f"str_{number}_after"),
            bank.abort("usr_a", f"str_{number}_late"),
            *(bank.sweep() for _ in range(3)),
        ]
        turn = number % len(work)
        results = await _together(*work[turn:], *work[:turn])
        assert not [one for one in results if isinstance(one, BaseException)], results
        await bank.abort("usr_a", f"str_{number}_after")
        await bank.sweep()
        # 1 was charged; of the 19 others each credit lapsed once, by expiry or by its refund
        rows = await bank.query(
            "SELECT charged, lapsed, remaining, held FROM allocations WHERE id = $1", allocation.id
        )
        assert tuple(rows[0]) == (1, 19, 0, 0)
    rows = await bank.query("SELECT kind, count(*) FROM ledger_entries GROUP BY kind ORDER BY kind")
    counts = {row["kind"]: row["count"] for row in rows}
    assert counts["expire"] == _ROUNDS
    assert counts["lapse"] == 2 * _ROUNDS
    assert await bank.discrepancies() == []


async def test_what_has_expired_is_spent_by_nobody_before_it_is_written_off(bank: Bank) -> None:
    for number in range(_ROUNDS):
        user = f"usr_{number}"
        await bank.give(user, 20, lives=60)
        bank.clock.advance(60)
        refused, _ = await _together(bank.reserve(user), bank.sweep())
        assert isinstance(refused, InsufficientCreditsError)
        await bank.sweep()
        assert await bank.entries(user) == [("allocate", 20), ("expire", 20)]
    assert await bank.discrepancies() == []


async def test_a_revoke_and_an_expiry_at_once_take_each_credit_once(bank: Bank) -> None:
    for number in range(_ROUNDS):
        user = f"usr_{number}"
        allocation = await bank.give(user, 20, lives=60)
        await bank.reserve(user)
        bank.clock.advance(60)
        revoke = bank.context.credits.revoke(allocation.id, actor_id="admin", key=user)
        results = await _together(*((revoke, bank.sweep())[:: (-1) ** number]))
        assert not [one for one in results if isinstance(one, BaseException)], results
        [row] = await bank.query("SELECT * FROM allocations WHERE id = $1", allocation.id)
        assert (row["revoked"] + row["lapsed"], row["held"], row["remaining"]) == (16, 4, 0)
    assert await bank.discrepancies() == []


async def test_credits_that_expired_while_held_are_not_told_as_held(bank: Bank) -> None:
    await bank.give("usr_a", 10, lives=60)
    await bank.reserve("usr_a", "str_1")
    await bank.reserve("usr_a", "str_2")
    with pytest.raises(CreditsHeldError):
        await bank.reserve("usr_a", "str_3")
    bank.clock.advance(60)
    with pytest.raises(InsufficientCreditsError):  # what is held would lapse, not come back
        await bank.reserve("usr_a", "str_3")


async def test_a_revoke_takes_the_account_before_the_allocation(bank: Bank) -> None:
    """In the other order it and a settlement of the same user would wait for one another."""
    allocation = await bank.give("usr_a", 20)
    settlement = await asyncpg.connect(plain_url(bank.url))
    try:
        async with settlement.transaction():
            await settlement.execute("SELECT 1 FROM accounts WHERE user_id = 'usr_a' FOR UPDATE")
            revoke = asyncio.create_task(
                bank.context.credits.revoke(allocation.id, actor_id="admin", key="r")
            )
            waiting = 0
            while not waiting:
                waiting = await settlement.fetchval(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            await settlement.execute("UPDATE allocations SET remaining = 18, charged = 2")
            await settlement.execute("UPDATE accounts SET remaining = 18")
        assert (await revoke).revoked == 18
    finally:
        await settlement.close()
