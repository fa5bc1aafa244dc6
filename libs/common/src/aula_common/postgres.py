"""PostgreSQL: the engine with its limits, and its errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from aula_common.errors import UnavailableError
from aula_common.settings import PostgresSettings

# SQLSTATE classes and codes that say "the database can't now", not "the statement is wrong"
_AWAY_CLASSES = ("08", "53", "57", "58")
_CANCELED = "57014"  # by the statement's own timeout: the connection lives
_RETRY_CODES = ("40001", "40P01", "55P03", "25P03")
# what SQLAlchemy's dialect takes from an address and asyncpg does not know
_DIALECT_ARGUMENTS = ("prepared_statement_cache_size", "prepared_statement_name_func")


def create_engine(settings: PostgresSettings, *, application: str) -> AsyncEngine:
    """An engine whose every statement, lock, idle transaction and connect is bounded in time."""
    return create_async_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout_seconds,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args=_limits(settings, application),
    )


async def connect(
    database: PostgresSettings, *, application: str, settings: Mapping[str, str] | None = None
) -> Any:
    """A plain asyncpg connection with the limits of `create_engine`, and further `settings`.

    It raises asyncpg's own errors.
    """
    url = make_url(database.database_url.get_secret_value())
    dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    _, arguments = dialect.create_connect_args(url)  # type: ignore[no-untyped-call]  # likewise
    for name in _DIALECT_ARGUMENTS:
        arguments.pop(name, None)
    limits = _limits(database, application)
    limits["server_settings"] |= settings or {}
    return await asyncpg.connect(**arguments, **limits)


def _limits(settings: PostgresSettings, application: str) -> dict[str, Any]:
    return {
        "timeout": settings.database_connect_timeout_seconds,
        "command_timeout": settings.database_statement_timeout_ms / 1000 + 1,
        "server_settings": {
            "application_name": application,
            "statement_timeout": str(settings.database_statement_timeout_ms),
            "lock_timeout": str(settings.database_lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(
                settings.database_idle_in_transaction_timeout_ms
            ),
        },
    }


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Raise UnavailableError for what means that the database is away, overloaded or too slow."""
    try:
        yield
    except DBAPIError as error:
        if is_unavailable(error):
            raise UnavailableError("the database") from error
        raise
    except (PoolTimeoutError, TimeoutError, OSError) as error:
        raise UnavailableError("the database") from error


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the error says something of the database's state and nothing of the statement."""
    if error.connection_invalidated or isinstance(error.orig, OSError | EOFError):
        return True
    code = getattr(error.orig, "sqlstate", None) or ""
    if code:
        return code.startswith(_AWAY_CLASSES) or code in _RETRY_CODES
    return isinstance(error, OperationalError | InterfaceError)


def is_away(error: asyncpg.PostgresError) -> bool:
    """Whether the error says that the server ends the connection, or is not fit to serve it."""
    code = error.sqlstate or ""
    return code.startswith(_AWAY_CLASSES) and code != _CANCELED


def is_contention(error: asyncpg.PostgresError) -> bool:
    """Whether others kept the statement from its end: a lock, a deadlock, its timeout."""
    return error.sqlstate in (*_RETRY_CODES, _CANCELED)
