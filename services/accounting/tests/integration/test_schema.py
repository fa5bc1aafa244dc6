"""The migrations and what the database itself refuses."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from accounting_builders import Bank, open_bank, plain_url, postgres_settings

from aula_accounting.domain.errors import SchemaError
from aula_accounting.domain.streaming import ProgressReport
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


async def _statistics(url: str) -> dict[str, Any]:
    """Each table's statistics, once every other backend has left and handed its own in."""
    connection = await asyncpg.connect(plain_url(url))
    try:
        others = 1
        while others:
            others = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.02) "
                "WHERE datname = current_database() "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        rows = await connection.fetch("SELECT * FROM pg_stat_user_tables")
        return {row["relname"]: row for row in rows}
    finally:
        await connection.close()


async def test_the_hot_path_reads_one_users_rows_and_scans_no_table(postgres_database: str) -> None:
    async with open_bank(postgres_database) as bank:
        await bank.execute(
            "INSERT INTO accounts SELECT 'usr_' || u, 10, 0, now() FROM generate_series(1, 3000) u",
            """
            INSERT INTO allocations (user_id, id, granted, remaining, held, charged, lapsed,
                revoked, created_at, created_by)
            SELECT user_id, user_id || '_' || n, 5, 5, 0, 0, 0, 0, now(), 'x'
            FROM accounts, generate_series(1, 2) n
            """,
            """
            INSERT INTO ledger_entries
                (user_id, kind, amount, allocation_id, actor_id, recorded_at)
            SELECT user_id, 'allocate', 5, id, 'x', now() FROM allocations
            """,
            """
            SELECT settle_credits((SELECT jsonb_agg(jsonb_build_object(
                'place', 0, 'kind', 'abort', 'session_id', user_id, 'user_id', user_id,
                'actor_id', 'x', 'status', 'aborted')) FROM accounts), now())
            """,
            "ANALYZE",
        )
    before = await _statistics(postgres_database)
    async with open_bank(postgres_database) as bank:
        await bank.reserve("usr_77", "str_1")
        progress = ProgressReport(session_id="str_1", user_id="usr_77", tokens_generated=9)
        await bank.context.streaming.report_progress(progress)
        await bank.finalize("usr_77", "str_1", output_tokens=300)
        await bank.abort("usr_78", "str_2")
        assert (await bank.context.credits.get_balance("usr_77")).available == 9
    after = await _statistics(postgres_database)
    for table in ("accounts", "allocations", "reservations", "ledger_entries"):
        assert before[table]["n_live_tup"] >= 3000
        assert after[table]["seq_scan"] == before[table]["seq_scan"], table
        assert after[table]["idx_tup_fetch"] - before[table]["idx_tup_fetch"] < 50, table


async def test_a_reserve_and_a_settle_stay_heap_only_updates(postgres_database: str) -> None:
    async with open_bank(postgres_database) as bank:
        await bank.give("usr_a", 100_000)
        for number in range(20):
            await bank.reserve("usr_a", f"str_{number}")
            await bank.finalize("usr_a", f"str_{number}", output_tokens=500)
    statistics = await _statistics(postgres_database)
    for table in ("accounts", "allocations"):
        updated = statistics[table]["n_tup_upd"]
        assert updated >= 40
        assert statistics[table]["n_tup_hot_upd"] >= 0.9 * updated


def test_functions_are_shipped_with_the_package() -> None:
    from aula_accounting.storage import migrations  # noqa: PLC0415 - looked at, not used

    folder = Path(str(migrations.__file__)).parent / "functions"
    assert {path.stem for path in folder.glob("*.sql")} >= {
        "reserve_credits_1",
        "settle_credits_1",
        "report_progress_1",
    }
