"""Brings the schema to the version of this program, and tells whether it is there."""

from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from aula_accounting.domain.errors import SchemaError
from aula_common.postgres import postgres_errors

# Two migrations at once would trip over one another: the second waits for this lock.
_LOCK = text("SELECT pg_advisory_lock(7205759403)")
_UNLOCK = text("SELECT pg_advisory_unlock(7205759403)")
_NO_TIMEOUTS = text("SELECT set_config('statement_timeout', '0', false)")


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    location = files("aula_accounting.storage") / "migrations"
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """The revision that this program works on."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - the package holds its migrations
    return head


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision of the database; None if it was never migrated."""
    with postgres_errors():
        async with engine.connect() as connection:
            return await connection.run_sync(
                lambda sync: MigrationContext.configure(sync).get_current_revision()
            )


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Apply what is missing up to the revision. Migrations at once wait for one another."""
    with postgres_errors():
        async with engine.connect() as connection:
            await connection.execute(_NO_TIMEOUTS)
            await connection.execute(_LOCK)
            await connection.commit()
            try:
                await connection.run_sync(_upgrade, revision)
                await connection.commit()
            finally:
                await connection.rollback()
                await connection.execute(_UNLOCK)
                await connection.commit()
                await connection.invalidate()  # its timeouts are not the pool's


def _upgrade(connection: Connection, revision: str) -> None:
    command.upgrade(_config(connection), revision)


async def require_head(engine: AsyncEngine) -> None:
    """Raise SchemaError unless the database's schema is the one that this program works on."""
    found, expected = await current_revision(engine), head_revision()
    if found != expected:
        raise SchemaError(found=found, expected=expected)


async def ping(engine: AsyncEngine) -> None:
    """Raise UnavailableError unless the database answers."""
    with postgres_errors():
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


def differences(connection: Connection) -> list[Any]:
    """Where the database differs from `tables`, as Alembic describes it."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - for tests alone

    from aula_accounting.storage.tables import metadata  # noqa: PLC0415 - likewise

    found: list[Any] = compare_metadata(MigrationContext.configure(connection), metadata)
    return found
