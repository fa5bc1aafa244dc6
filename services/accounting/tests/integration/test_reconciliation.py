"""Reconciliation proves the balances, or names what is wrong."""

import pytest
from accounting_builders import LEASE_SECONDS, Bank
from accounting_command import accounting


async def _some_life(bank: Bank) -> tuple[str, str]:
    """A user with every kind of movement behind him; a spent and an open allocation."""
    first = await bank.give("usr_a", 20)
    second = await bank.give("usr_a", 30, lives=10_000)
    expiring = await bank.give("usr_a", 5, lives=10)
    await bank.reserve("usr_a", "str_done", output_tokens=1500)
    await bank.finalize("usr_a", "str_done", output_tokens=700)
    bank.clock.advance(10)
    await bank.reserve("usr_a", "str_running")
    await bank.abort("usr_a", "str_tombstone")
    await bank.sweep()
    await bank.context.credits.revoke(first.id, actor_id="admin", key="r")
    assert expiring.expires_at is not None
    return first.id, second.id


async def test_nothing_differs_after_every_kind_of_movement(bank: Bank) -> None:
    await _some_life(bank)
    result = await bank.context.reconciliation.reconcile()
    assert result.balanced
    totals = result.totals
    assert totals.granted == 55
    assert totals.granted == (
        totals.remaining + totals.held + totals.charged + totals.lapsed + totals.revoked
    )
    assert min(totals.held, totals.charged, totals.lapsed, totals.revoked) > 0
    kinds = {kind for kind, _ in await bank.entries("usr_a")}
    assert kinds >= {"allocate", "hold", "charge", "refund", "expire", "revoke", "settle"}


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (
            "UPDATE allocations SET remaining = remaining - 1, charged = 1 WHERE id = '{second}'",
            "allocation.charged of {second}",
        ),
        (
            "UPDATE allocations SET revoked = revoked - 2, lapsed = 2 WHERE id = '{first}'",
            "allocation.revoked of {first}",
        ),
        (
            "UPDATE allocations SET granted = 39, remaining = remaining + 9 WHERE id = '{second}'",
            "allocation.granted of {second}",
        ),
        ("UPDATE accounts SET remaining = remaining + 1", "account.remaining of usr_a"),
        ("UPDATE accounts SET held = held + 1", "account.held of usr_a"),
        (
            "UPDATE reservations SET charged = charged - 1 WHERE session_id = 'str_done'",
            "reservation.charged of str_done",
        ),
        (
            "UPDATE reservations SET source_amounts = '{{1}}' WHERE session_id = 'str_running'",
            "reservation.sources of str_running",
        ),
        (
            "DELETE FROM ledger_entries WHERE kind = 'settle' AND session_id = 'str_tombstone'",
            "reservation.settlements of str_tombstone",
        ),
        (
            "DELETE FROM ledger_entries WHERE kind = 'hold' AND session_id = 'str_running'",
            "reservation.reserved of str_running",
        ),
        (
            "DELETE FROM ledger_entries WHERE kind = 'hold' AND session_id = 'str_running'",
            "allocation.held of {second}",
        ),
        (
            "DELETE FROM reservations WHERE session_id = 'str_running'",
            "allocation.heldByStreams of {second}",
        ),
    ],
)
async def test_a_planted_discrepancy_is_found_and_named(
    bank: Bank, planted: str, named: str
) -> None:
    first, second = await _some_life(bank)
    await bank.execute(
        "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        planted.format(first=first, second=second),
        "ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_append_only",
    )
    assert named.format(first=first, second=second) in await bank.discrepancies()


async def test_a_hold_that_nobody_sweeps_is_named(bank: Bank) -> None:
    await bank.give("usr_a", 10)
    await bank.reserve("usr_a", "str_1")
    bank.clock.advance(LEASE_SECONDS + 60)
    assert await bank.discrepancies() == []
    bank.clock.advance(120)
    assert await bank.discrepancies() == ["reservation.overdue of str_1"]


async def test_the_command_exits_with_one_and_names_the_allocation(bank: Bank) -> None:
    given = await bank.give("usr_a", 10)
    sound = accounting(bank.url, "reconcile")
    assert (sound.returncode, sound.stderr) == (0, "")
    await bank.execute("UPDATE allocations SET remaining = remaining - 3, charged = 3")
    found = accounting(bank.url, "reconcile")
    assert found.returncode == 1
    assert f"allocation.charged differs: user usr_a, allocation {given.id}" in found.stderr
    assert "expected 0, stored 3" in found.stderr


async def test_the_commands_work_one_after_the_other(postgres_database: str) -> None:
    unmigrated = accounting(postgres_database, "sweep")
    assert unmigrated.returncode == 2
    assert "accounting migrate" in unmigrated.stderr
    assert accounting(postgres_database, "migrate").returncode == 0
    for _ in range(2):
        given = accounting(postgres_database, "allocate", "usr_a", "10", "--key", "k")
        assert given.stdout.startswith("alc_"), given.stderr
    assert accounting(postgres_database, "sweep").returncode == 0
    checked = accounting(postgres_database, "reconcile")
    assert "1 accounts, 1 allocations, 0 reservations, 1 ledger entries" in checked.stdout


def test_a_database_that_is_away_is_a_message_and_not_a_traceback() -> None:
    away = accounting("postgresql+asyncpg://aula:aula@127.0.0.1:9/none", "reconcile")
    assert away.returncode == 2
    assert "not available" in away.stderr
    assert "Traceback" not in away.stderr
