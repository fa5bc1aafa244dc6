"""Redis: the client with its limits, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from aula_common.errors import UnavailableError
from aula_common.settings import RedisSettings

# what asyncio of Python 3.12.1 stumbles over when a connection was reset before it is written to
_WRITES_TO_NOTHING = "_add_writer"


def create_redis(
    settings: RedisSettings, *, application: str, timeout_seconds: float | None = None
) -> Redis:
    """A client for commands: bounded in time, one quick retry on a connection that had died.

    `timeout_seconds` takes the place of the settings' where a caller can wait less.
    """
    timeout = timeout_seconds or settings.redis_timeout_seconds
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        client_name=application,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        health_check_interval=0,
    )


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
