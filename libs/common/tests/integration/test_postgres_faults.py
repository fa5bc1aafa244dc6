"""PostgreSQL killed, restarted, frozen: one kind of error, in bounded time, and it recovers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from aula_common.errors import UnavailableError
from aula_common.postgres import create_engine, postgres_errors
from aula_common.settings import PostgresSettings
from aula_devstack.servers.postgres import Postgres


@asynccontextmanager
async def engine_of(url: str, **values: object) -> AsyncIterator[AsyncEngine]:
    settings = PostgresSettings(
        database_url=url,
        **{"database_pool_size": 5, "database_pool_timeout_seconds": 1, **values},  # type: ignore[arg-type]  # likewise
    )
    engine = create_engine(settings, application="test")
    try:
        yield engine
    finally:
        await engine.dispose()


async def ask(engine: AsyncEngine, statement: str = "SELECT 1") -> object:
    with postgres_errors():
        async with engine.begin() as connection:
            return (await connection.execute(text(statement))).scalar()


async def outcomes(engine: AsyncEngine, count: int, statement: str = "SELECT 1") -> list[object]:
    """What so many concurrent calls come to: their values, or the errors they raise."""
    calls = (ask(engine, statement) for _ in range(count))
    return await asyncio.gather(*calls, return_exceptions=True)


def assert_unavailable(results: list[object]) -> None:
    assert {type(result) for result in results} == {UnavailableError}, results


async def test_running_statements_of_a_killed_server_are_unavailable(
    postgres_server: Postgres,
) -> None:
    url = postgres_server.database_url("postgres", scheme="postgresql+asyncpg")
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(4)'"
    async with engine_of(url) as engine, engine_of(url) as watcher, asyncio.timeout(60):
        running = asyncio.create_task(outcomes(engine, 5, "SELECT pg_sleep(4)"))
        while await ask(watcher, count) != 5:
            assert not running.done()
        postgres_server.kill()
        assert_unavailable(await running)
        assert_unavailable(await outcomes(engine, 10))
        postgres_server.spawn()
        starting = asyncio.create_task(asyncio.to_thread(postgres_server.wait_ready))
        # also while it recovers and says that it is starting up
        while not starting.done():
            for result in await outcomes(engine, 5):
                assert result == 1 or isinstance(result, UnavailableError), result
        await starting
        assert await outcomes(engine, 10) == [1] * 10


async def test_a_frozen_server_is_unavailable_in_bounded_time_and_recovers(
    postgres_server: Postgres,
) -> None:
    url = postgres_server.database_url("postgres", scheme="postgresql+asyncpg")
    limits = {"database_statement_timeout_ms": 500, "database_connect_timeout_seconds": 1}
    async with engine_of(url, **limits) as engine, asyncio.timeout(60):
        assert await outcomes(engine, 3) == [1] * 3
        postgres_server.suspend()
        try:
            started = time.monotonic()
            assert_unavailable(await outcomes(engine, 8))
            assert time.monotonic() - started < 8
        finally:
            postgres_server.resume()
        assert await outcomes(engine, 5) == [1] * 5


async def test_terminated_backends_do_not_empty_the_pool(postgres_database: str) -> None:
    async with engine_of(postgres_database) as engine, engine_of(postgres_database) as other:
        assert await outcomes(engine, 5) == [1] * 5
        kill = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await ask(other, kill)
        assert await outcomes(engine, 5) == [1] * 5


async def test_a_pool_that_is_used_up_is_unavailable_and_whole_afterwards(
    postgres_database: str,
) -> None:
    async with engine_of(postgres_database, database_pool_timeout_seconds=0.1) as engine:
        results = await outcomes(engine, 7, "SELECT 1 FROM pg_sleep(0.5)")
        assert sorted(type(result).__name__ for result in results) == [
            *["UnavailableError"] * 2,
            *["int"] * 5,
        ]
        assert await outcomes(engine, 5) == [1] * 5


async def test_statements_and_locks_that_take_too_long_are_unavailable(
    postgres_database: str,
) -> None:
    limits = {"database_statement_timeout_ms": 300, "database_lock_timeout_ms": 100}
    async with engine_of(postgres_database, **limits) as engine:
        assert_unavailable(await outcomes(engine, 1, "SELECT pg_sleep(5)"))
        async with engine.begin() as holder:
            await holder.execute(text("SELECT pg_advisory_xact_lock(1)"))
            assert_unavailable(await outcomes(engine, 1, "SELECT pg_advisory_xact_lock(1)"))
        assert await ask(engine) == 1


async def test_what_is_wrong_with_the_statement_passes_through(postgres_database: str) -> None:
    async with engine_of(postgres_database) as engine:
        with pytest.raises(DBAPIError):
            await ask(engine, "SELECT nonsense")
        with postgres_errors():
            async with engine.begin() as connection:
                await connection.execute(text("CREATE TABLE a (b int PRIMARY KEY)"))
                await connection.execute(text("INSERT INTO a VALUES (1)"))
        with pytest.raises(IntegrityError):
            await ask(engine, "INSERT INTO a VALUES (1)")


async def test_cancelled_statements_leave_the_pool_whole_and_nothing_in_transaction(
    postgres_database: str,
) -> None:
    async with engine_of(postgres_database) as engine, asyncio.timeout(20):
        for _ in range(4):
            calls = [asyncio.create_task(ask(engine, "SELECT pg_sleep(3)")) for _ in range(5)]
            await asyncio.wait(calls, timeout=0.05)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert await outcomes(engine, 5) == [1] * 5
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool it is
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert await ask(engine, idle) == 0
