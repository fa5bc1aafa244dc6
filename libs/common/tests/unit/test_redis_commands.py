"""What goes to Redis is what redis-py's own packing makes, whatever the address."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import DataError

from aula_common.redis import create_redis
from aula_common.settings import RedisSettings

COMMANDS: list[tuple[Any, ...]] = [
    ("PING",),
    ("CONFIG GET", "maxmemory"),
    (b"CLIENT SETNAME", "aula"),
    ("SET", "key", "Größe 🦉", "EX", 10),
    ("EVALSHA", "f" * 40, 3, b"log", b"fence", b"stop", 7, -1, 12, b"\x00\r\n$5\r\n" * 5_000, 420),
    ("ZADD", "observers", 1.5, "obs_1", 1e300, bytearray(b"obs_2"), 0.1, memoryview(b"obs_3")),
    ("SET", "", b""),
]


def connection_of(client: Redis) -> AbstractConnection:
    pool = client.connection_pool
    return pool.connection_class(**pool.connection_kwargs)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_command_is_packed_as_ever(scheme: str, command: tuple[Any, ...]) -> None:
    address = f"{scheme}://127.0.0.1:1/3"
    ours = create_redis(RedisSettings(redis_url=address), application="test")
    theirs = Redis.from_url(address)
    made, usual = connection_of(ours), connection_of(theirs)
    assert isinstance(made, type(usual))
    assert type(made).pack_command is not type(usual).pack_command
    assert b"".join(made.pack_commands([command, ("PING",)])) == b"".join(
        usual.pack_commands([command, ("PING",)])
    )


def test_what_redis_has_no_words_for_is_refused() -> None:
    client = create_redis(RedisSettings(redis_url="redis://127.0.0.1:1"), application="test")
    with pytest.raises(DataError):
        connection_of(client).pack_command("SET", "key", None)  # type: ignore[arg-type]  # that is the case
