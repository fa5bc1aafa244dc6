"""The migrations and what the database itself refuses."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from accounting_builders import Bank, open_bank, plain_url, postgres_settings

from aula_accounting.domain.errors import SchemaError
from aula_accounting.storage.schema import differences, migrate, require_head
from aula_common.postgres import create_engine


async def test_tables_are_what_the_migrations_make(bank: Bank) -> None:
    async with bank.context.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_empty_or_older_schema_is_refused_with_what_to_do(postgres_database: str) -> None:
    engine = create_engine(postgres_settings(postgres_database), application="test")
    try:
        with pytest.raises(SchemaError, match="accounting migrate"):
            await require_head(engine)
        await migrate(engine, "0001")
        with pytest.raises(SchemaError, match="0001"):
            await require_head(engine)
        await migrate(engine)
        await require_head(engine)
    finally:
        await engine.dispose()


async def test_migrations_at_once_apply_each_step_once(postgres_database: str) -> None:
    engines = [
        create_engine(postgres_settings(postgres_database), application="test") for _ in range(4)
    ]
    try:
        await asyncio.gather(*(migrate(engine) for engine in engines))
        await require_head(engines[0])
    finally:
        for engine in engines:
            await engine.dispose()


async def test_first_catalogue_of_rates(bank: Bank) -> None:
    rates = await bank.context.rates.list_current()
    assert {rate.model_id: (str(rate.input_rate), str(rate.output_rate)) for rate in rates} == {
        "anthropic.claude-3-sonnet-20240229-v1:0": ("3.000000", "3.000000"),
        "anthropic.claude-3-haiku-20240307-v1:0": ("0.250000", "0.250000"),
        "anthropic.claude-3-opus-20240229-v1:0": ("15.000000", "15.000000"),
        "anthropic.claude-instant-v1": ("0.800000", "0.800000"),
        "amazon.titan-text-express-v1": ("0.300000", "0.300000"),
        "meta.llama2-13b-chat-v1": ("0.300000", "0.300000"),
    }


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET amount = amount + 1",
        "UPDATE ledger_entries SET amount = 1 WHERE user_id = 'nobody'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "TRUNCATE accounts CASCADE",
        "SET LOCAL session_replication_role = replica; DELETE FROM ledger_entries",
    ],
)
async def test_ledger_refuses_change_even_from_its_owner(bank: Bank, statement: str) -> None:
    await bank.give("usr_a", 5)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await bank.execute(statement)
    assert await bank.entries("usr_a") == [("allocate", 5)]


async def test_a_second_terminal_entry_is_refused(bank: Bank) -> None:
    await bank.give("usr_a", 5)
    await bank.reserve("usr_a", "str_1")
    await bank.finalize("usr_a", "str_1")
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_ledger_entries_settlement"):
        await bank.execute(
            "INSERT INTO ledger_entries (user_id, kind, amount, session_id, actor_id, recorded_at)"
            " VALUES ('usr_a', 'settle', 0, 'str_1', 'x', now())"
        )


@pytest.mark.parametrize(
    "change", ["remaining = -1", "remaining = remaining + 1", "held = 1", "charged = -1"]
)
async def test_an_allocation_that_does_not_add_up_is_refused(bank: Bank, change: str) -> None:
    await bank.give("usr_a", 5)
    with pytest.raises(asyncpg.CheckViolationError):
        await bank.execute(f"UPDATE allocations SET {change}")  # noqa: S608 - the test's own


async def test_sessions_are_bounded_in_time(bank: Bank) -> None:
    async with bank.context.engine.connect() as connection:
        raw = await connection.exec_driver_sql(
            "SELECT name, setting FROM pg_settings WHERE name IN "
            "('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
        )
        assert {row.name: row.setting for row in raw} == {
            "statement_timeout": "5000",
            "lock_timeout": "3000",
            "idle_in_transaction_session_timeout": "10000",
        }


async def test_a_reserve_and_a_settle_stay_heap_only_updates(postgres_database: str) -> None:
    async with open_bank(postgres_database) as bank:
        await bank.give("usr_a", 100_000)
        for number in range(20):
            await bank.reserve("usr_a", f"str_{number}")
            await bank.finalize("usr_a", f"str_{number}", output_tokens=500)
    connection = await asyncpg.connect(plain_url(postgres_database))
    try:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        for table in ("accounts", "allocations"):
            updated, hot = await connection.fetchrow(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table
            )
            assert updated >= 40
            assert hot >= 0.9 * updated
    finally:
        await connection.close()


def test_functions_are_shipped_with_the_package() -> None:
    from aula_accounting.storage import migrations  # noqa: PLC0415 - looked at, not used

    folder = Path(str(migrations.__file__)).parent / "functions"
    assert {path.stem for path in folder.glob("*.sql")} >= {"reserve_credits_1", "settle_credits_1"}
