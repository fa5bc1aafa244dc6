"""MongoDB: the client with its limits, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from aula_common.errors import UnavailableError
from aula_common.settings import MongoSettings

Document = dict[str, Any]
_TRANSIENT_LABELS = ("RetryableWriteError", "TransientTransactionError", "RetryableError")
_SHUTDOWN_CODES = frozenset({91, 189, 262, 11600, 11602, 10107, 13435, 13436})


def create_client(settings: MongoSettings, *, application: str) -> AsyncMongoClient[Document]:
    """A client whose writes are acknowledged by a majority and journalled, all bounded in time."""
    timeout_ms = int(settings.mongo_timeout_seconds * 1000)
    return AsyncMongoClient(
        settings.mongo_uri.get_secret_value(),
        appname=application,
        tz_aware=True,
        maxPoolSize=settings.mongo_pool_size,
        # before something between drops it: the driver notices only in its next operation, and of
        # writes to many documents it repeats none
        maxIdleTimeMS=int(settings.mongo_idle_seconds * 1000),
        serverSelectionTimeoutMS=min(timeout_ms, 3000),
        connectTimeoutMS=min(timeout_ms, 3000),
        timeoutMS=timeout_ms,
        w="majority",
        journal=True,
        retryReads=True,
        retryWrites=True,
    )


def database(client: AsyncMongoClient[Document], *, default: str) -> AsyncDatabase[Document]:
    """The database that the address names, else the default."""
    return client.get_default_database(default)


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Raise UnavailableError for what means that the database is away, stepping down or too slow.

    A duplicate key and what is wrong with the command itself pass through.
    """
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise UnavailableError("the database") from error
    except OperationFailure as error:
        if error.code in _SHUTDOWN_CODES or _is_transient(error):
            raise UnavailableError("the database") from error
        raise
    except PyMongoError as error:
        if error.timeout or _is_transient(error):
            raise UnavailableError("the database") from error
        raise


def _is_transient(error: PyMongoError) -> bool:
    return any(error.has_error_label(label) for label in _TRANSIENT_LABELS)
