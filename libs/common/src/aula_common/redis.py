"""Redis: the client with its limits, and its errors in our words."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.typing import EncodableT

from aula_common.errors import UnavailableError
from aula_common.settings import RedisSettings

# what asyncio of Python 3.12.1 stumbles over when a connection was reset before it is written to
_WRITES_TO_NOTHING = "_add_writer"


class _PackedByHiredis:
    """Has commands packed as redis-py's blocking client does, in two thirds of the time."""

    _serializer = HiredisRespSerializer()

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """One command in Redis' protocol."""
        packed: list[bytes] = self._serializer.pack(*args)  # type: ignore[arg-type]  # its hint is of lists
        return packed


class _Connection(_PackedByHiredis, Connection):
    pass


class _SslConnection(_PackedByHiredis, SSLConnection):
    pass


_PACKED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Connection,
    SSLConnection: _SslConnection,
}


def create_redis(settings: RedisSettings, *, application: str, bounded: bool = True) -> Redis:
    """A client for commands: bounded in time, one quick retry on a connection that had died.

    Unbounded it is for those who give whole operations a `redis_deadline`, which costs less: a
    bounded one sets a timer for each answer of a pipeline, and writes in a task on Python 3.11.
    """
    timeout = settings.redis_timeout_seconds
    client = Redis.from_url(
        settings.redis_url.get_secret_value(),
        client_name=application,
        socket_timeout=timeout if bounded else None,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        health_check_interval=0,
    )
    pool = client.connection_pool
    pool.connection_class = _PACKED.get(pool.connection_class, pool.connection_class)
    return client


@asynccontextmanager
async def redis_deadline(seconds: float) -> AsyncIterator[None]:
    """As `redis_errors`, for what takes longer than that too; its connection is closed then."""
    with redis_errors():
        async with asyncio.timeout(seconds):
            yield


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise UnavailableError for every error of Redis or of the way to it."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise UnavailableError("redis") from error
    except AttributeError as error:
        if error.name != _WRITES_TO_NOTHING:
            raise
        raise UnavailableError("redis") from error
