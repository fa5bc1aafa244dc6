"""Many at once: nobody is overspent, one settlement wins, nothing waits for ever."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from accounting_builders import (
    LEASE_SECONDS,
    SONNET,
    Bank,
    abort_request,
    finalize_request,
    open_bank,
    reserve_request,
)

from aula_accounting.domain.errors import CreditsHeldError, TooManyStreamsError
from aula_accounting.domain.streaming import Reservation
from aula_accounting.storage.unit_of_work import start_work

_LEASE = timedelta(seconds=LEASE_SECONDS)


async def _together(*work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


async def test_of_fifty_at_once_ten_can_pay_and_forty_are_told_what_is_held(
    postgres_database: str,
) -> None:
    async with open_bank(postgres_database, streams=100) as bank:
        await bank.give("usr_a", 25)
        await bank.give("usr_a", 15, lives=3600)
        results = await _together(*(bank.reserve("usr_a", f"str_{n}") for n in range(50)))
        reserved = [one for one in results if isinstance(one, Reservation)]
        refused = [one for one in results if isinstance(one, CreditsHeldError)]
        assert (len(reserved), len(refused)) == (10, 40)
        winners = {one.session_id for one in reserved}
        for refusal in refused:
            assert refusal.extra["held"] == 40
            assert {hold["sessionId"] for hold in refusal.extra["holds"]} == winners
        await _together(
            *(bank.finalize("usr_a", one.session_id, output_tokens=400) for one in reserved)
        )
        balance = await bank.context.credits.get_balance("usr_a")
        assert (balance.available, balance.held) == (20, 0)
        assert await bank.discrepancies() == []


async def test_the_limit_of_running_streams_holds_under_concurrency(bank: Bank) -> None:
    await bank.give("usr_a", 1000)
    results = await _together(*(bank.reserve("usr_a", f"str_{n}") for n in range(30)))
    assert sum(isinstance(one, Reservation) for one in results) == 5
    assert sum(isinstance(one, TooManyStreamsError) for one in results) == 25


async def test_of_finalize_abort_and_sweep_at_once_one_wins_and_all_are_told_the_same(
    bank: Bank,
) -> None:
    await bank.give("usr_a", 1000)
    statuses: set[str] = set()
    for round_number in range(50):
        session_id = f"str_{round_number}"
        await bank.reserve("usr_a", session_id)
        bank.clock.advance(LEASE_SECONDS)
        contenders = [
            bank.finalize("usr_a", session_id, output_tokens=600),
            bank.abort("usr_a", session_id, output_tokens=100),
            bank.sweep(),
        ]
        turn = round_number % 3
        results = await _together(*contenders[turn:], *contenders[:turn])
        told = [one for one in results if isinstance(one, Reservation)]
        assert len(told) == 2, results
        assert told[0] == told[1]
        statuses.add(told[0].status)
    assert len(statuses) > 1, "the contenders never truly met"
    rows = await bank.query(
        "SELECT session_id, count(*) AS terminal FROM ledger_entries WHERE kind = 'settle' "
        "GROUP BY session_id"
    )
    assert [row["terminal"] for row in rows] == [1] * 50
    assert await bank.discrepancies() == []


async def test_the_same_initialize_many_times_at_once_holds_once(bank: Bank) -> None:
    await bank.give("usr_a", 1000)
    results = await _together(*(bank.reserve("usr_a", "str_1") for _ in range(20)))
    assert all(one == results[0] for one in results)
    assert (await bank.context.credits.get_balance("usr_a")).held == 4


async def test_an_id_taken_by_two_users_at_once_is_held_for_one(bank: Bank) -> None:
    for user in ("usr_a", "usr_b"):
        await bank.give(user, 1000)
    for number in range(20):
        results = await _together(
            *(bank.reserve(user, f"str_{number}") for user in ("usr_a", "usr_b"))
        )
        assert sum(isinstance(one, Reservation) for one in results) == 1, results
        [winner] = [one for one in results if isinstance(one, Reservation)]
        await bank.finalize(winner.user_id, winner.session_id)
    assert await bank.discrepancies() == []


async def test_initialize_and_its_abort_at_once_never_leave_a_hold(bank: Bank) -> None:
    await bank.give("usr_a", 1000)
    for number in range(30):
        await _together(
            bank.reserve("usr_a", f"str_{number}"), bank.abort("usr_a", f"str_{number}")
        )
        balance = await bank.context.credits.get_balance("usr_a")
        assert (balance.held, balance.available) == (0, 1000)
    assert await bank.discrepancies() == []


async def test_a_list_is_settled_and_reserved_like_single_calls(bank: Bank) -> None:
    users = [f"usr_{number}" for number in range(6)]
    for user in users:
        await bank.give(user, 7)
    async with start_work(bank.context.engine) as work:
        outcomes = await work.streaming.reserve(
            [reserve_request(user, f"str_{user}_{n}") for n in range(2) for user in users[::-1]],
            at=bank.clock.now(),
            lease=_LEASE,
            running_limit=5,
        )
        await work.commit()
    assert [outcome.verdict.value for outcome in outcomes] == ["reserved"] * 6 + ["held"] * 6
    assert outcomes[0].reservation is not None
    assert outcomes[0].reservation.user_id == "usr_5"
    async with start_work(bank.context.engine) as work:
        settled = await work.streaming.settle(
            [
                finalize_request("usr_0", "str_usr_0_0", output_tokens=100),
                finalize_request("usr_0", "str_unknown"),
                abort_request("usr_1", "str_usr_1_0"),
                finalize_request("usr_0", "str_usr_0_0", output_tokens=900),
                finalize_request("usr_2", "str_usr_2_0", model_id="no.such-model"),
            ],
            at=bank.clock.now(),
        )
        await work.commit()
    verdicts = [outcome.verdict.value for outcome in settled]
    assert verdicts == ["settled", "unknown", "settled", "already", "unpriced"]
    assert settled[3].reservation == settled[0].reservation
    assert await bank.discrepancies() == []


async def test_lists_in_opposite_orders_do_not_wait_for_one_another(bank: Bank) -> None:
    users = [f"usr_{number}" for number in range(8)]
    for user in users:
        await bank.give(user, 10_000)

    async def reserve_all(order: list[str], mark: str) -> list[str]:
        async with start_work(bank.context.engine) as work:
            outcomes = await work.streaming.reserve(
                [reserve_request(user, f"str_{mark}_{user}") for user in order],
                at=bank.clock.now(),
                lease=_LEASE,
                running_limit=1000,
            )
            await work.commit()
        return [outcome.verdict.value for outcome in outcomes]

    for number in range(10):
        results = await _together(
            *(reserve_all(users[:: (-1) ** turn], f"{number}_{turn}") for turn in range(8))
        )
        assert all(one == ["reserved"] * 8 for one in results), results
    assert await bank.discrepancies() == []


async def test_everything_at_once_still_adds_up(postgres_database: str) -> None:
    async with open_bank(postgres_database, streams=50) as bank:
        users = [f"usr_{number}" for number in range(4)]
        for user in users:
            await bank.give(user, 200, lives=100)
            await bank.give(user, 200)
        revoked = (await bank.give(users[0], 200)).id

        async def stream(user: str, number: int) -> None:
            session_id = f"str_{user}_{number}"
            await bank.reserve(user, session_id)
            ending = bank.abort if number % 3 == 0 else bank.finalize
            await ending(user, session_id, model_id=SONNET, output_tokens=number * 40)

        async def trouble() -> None:
            bank.clock.advance(50)
            await bank.sweep()
            await bank.context.credits.revoke(revoked, actor_id="admin", key="revoke-once")

        results = await _together(
            *(stream(user, number) for number in range(20) for user in users),
            *(trouble() for _ in range(3)),
        )
        unexpected = [
            one for one in results if one is not None and not isinstance(one, CreditsHeldError)
        ]
        assert unexpected == []
        assert await bank.discrepancies() == []
        rows = await bank.query("SELECT count(*) FROM reservations WHERE status <> 'active'")
        assert rows[0][0] >= 60


@pytest.mark.parametrize("ending", ["finalize", "abort"])
async def test_the_same_settlement_many_times_at_once_moves_once(bank: Bank, ending: str) -> None:
    await bank.give("usr_a", 100)
    await bank.reserve("usr_a", "str_1")
    settle = getattr(bank, ending)
    results = await _together(*(settle("usr_a", "str_1", output_tokens=300) for _ in range(20)))
    assert all(one == results[0] for one in results), results
    assert [kind for kind, _ in await bank.entries("usr_a")].count("settle") == 1
