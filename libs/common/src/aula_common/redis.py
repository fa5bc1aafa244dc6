"""Redis: the client with its limits, and its errors in our words."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from aula_common.errors import UnavailableError
from aula_common.settings import RedisSettings

# what asyncio of Python 3.12.1 stumbles over when a connection was reset before it is written to
_WRITES_TO_NOTHING = "_add_writer"


def create_redis(settings: RedisSettings, *, application: str, bounded: bool = True) -> Redis:
    """A client for commands: bounded in time, one quick retry on a connection that had died.

    Unbounded it is for those who give whole operations a `redis_deadline`, which costs less: a
    bounded one sets a timer for each answer of a pipeline, and writes in a task on Python 3.11.
    """
    timeout = settings.redis_timeout_seconds
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        client_name=application,
        socket_timeout=timeout if bounded else None,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        health_check_interval=0,
    )


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
