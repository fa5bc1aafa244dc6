"""MongoDB: the client with its limits, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ClientBulkWriteException,
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
# shutting down, stepping down, interrupted; the last two: too slow, or so its replicas
_AWAY_CODES = frozenset({91, 189, 262, 11600, 11602, 10107, 13435, 13436, 50, 64})


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
    except PyMongoError as error:
        if _is_away(error):
            raise UnavailableError("the database") from error
        raise


def _is_away(error: PyMongoError) -> bool:
    match error:
        case ClientBulkWriteException():  # what broke it off is inside
            refused = (*error.details["writeErrors"], *error.details["writeConcernErrors"])
            if isinstance(error.error, PyMongoError):
                return _is_away(error.error)
            return any(one["code"] in _AWAY_CODES for one in refused)
        case ConnectionFailure() | ExecutionTimeout() | WTimeoutError():
            return True
        case OperationFailure():
            return error.code in _AWAY_CODES or _is_transient(error)
    return error.timeout or _is_transient(error)


def _is_transient(error: PyMongoError) -> bool:
    return any(error.has_error_label(label) for label in _TRANSIENT_LABELS)
