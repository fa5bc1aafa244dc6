"""Redis killed, restarted, frozen: one kind of error, bounded, and it recovers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from aula_common.errors import UnavailableError
from aula_common.redis import create_redis, redis_deadline, redis_errors
from aula_common.settings import RedisSettings
from aula_devstack.servers.redis import Redis as RedisServer
from aula_devstack.testing.tcp_proxy import tcp_proxy


@asynccontextmanager
async def client_of(url: str, *, seconds: float = 1, bounded: bool = True) -> AsyncIterator[Redis]:
    settings = RedisSettings(redis_url=url, redis_timeout_seconds=seconds)
    client = create_redis(settings, application="test", bounded=bounded)
    try:
        yield client
    finally:
        await client.aclose()


async def echo(client: Redis, number: int) -> int:
    with redis_errors():
        return int(await client.echo(str(number)))


async def start(server: RedisServer) -> None:
    server.spawn()
    await asyncio.to_thread(server.wait_ready)


async def wait_for_nothing(client: Redis) -> None:
    with redis_errors():
        await client.blpop(["nothing"], 0.2)


async def outcomes(client: Redis, count: int) -> list[object]:
    calls = (echo(client, number) for number in range(count))
    return await asyncio.gather(*calls, return_exceptions=True)


def assert_unavailable(results: list[object]) -> None:
    assert {type(result) for result in results} == {UnavailableError}, results


async def test_a_restart_between_two_commands_is_not_noticed(redis_server: RedisServer) -> None:
    async with client_of(redis_server.url) as client:
        assert await echo(client, 1) == 1
        await asyncio.to_thread(redis_server.stop)
        await start(redis_server)
        assert await echo(client, 2) == 2


async def test_a_killed_server_is_unavailable_at_once_and_recovers(
    redis_server: RedisServer,
) -> None:
    async with client_of(redis_server.url) as client, asyncio.timeout(30):
        assert await outcomes(client, 10) == list(range(10))
        redis_server.kill()
        started = time.monotonic()
        assert_unavailable(await outcomes(client, 10))
        assert time.monotonic() - started < 2
        await start(redis_server)
        assert await outcomes(client, 10) == list(range(10))


async def test_connections_that_were_reset_are_unavailable_until_there_are_new_ones(
    redis_server: RedisServer,
) -> None:
    with tcp_proxy(redis_server.url) as proxy:
        async with client_of(proxy.through(redis_server.url)) as client:
            for _ in range(10):
                assert await outcomes(client, 5) == list(range(5))
                proxy.refuse()
                proxy.reset()
                assert_unavailable(await outcomes(client, 5))
                proxy.accept()


async def test_of_errors_in_our_own_lines_only_asyncios_is_one_of_redis() -> None:
    with pytest.raises(UnavailableError), redis_errors():
        raise AttributeError(name="_add_writer")
    with pytest.raises(AttributeError), redis_errors():
        raise AttributeError(name="echo")


async def test_a_frozen_server_is_unavailable_in_bounded_time_and_recovers(
    redis_server: RedisServer,
) -> None:
    async with client_of(redis_server.url, seconds=0.3) as client, asyncio.timeout(30):
        assert await outcomes(client, 5) == list(range(5))
        redis_server.suspend()
        try:
            started = time.monotonic()
            assert_unavailable(await outcomes(client, 10))
            assert time.monotonic() - started < 2
        finally:
            redis_server.resume()
        assert await outcomes(client, 10) == list(range(10))


async def test_a_cancelled_command_never_leaves_its_answer_to_the_next(redis_url: str) -> None:
    async with client_of(redis_url, seconds=5) as client, asyncio.timeout(20):
        for _ in range(5):
            waiting = [asyncio.create_task(wait_for_nothing(client)) for _ in range(5)]
            calls = [asyncio.create_task(echo(client, number)) for number in range(100, 105)]
            await asyncio.sleep(0)
            for task in (*waiting, *calls):
                task.cancel()
            await asyncio.gather(*waiting, *calls, return_exceptions=True)
            assert await outcomes(client, 10) == list(range(10))


async def test_what_its_deadline_breaks_off_never_leaves_an_answer_to_the_next(
    redis_server: RedisServer,
) -> None:
    async def echoes(client: Redis, first: int, *, seconds: float) -> list[int]:
        async with (
            redis_deadline(seconds),
            client.pipeline(transaction=False) as pipeline,
        ):
            for number in range(first, first + 3):
                pipeline.echo(str(number))
            return [int(answer) for answer in await pipeline.execute()]

    async with client_of(redis_server.url, bounded=False) as client, asyncio.timeout(30):
        assert await echoes(client, 0, seconds=5) == [0, 1, 2]
        redis_server.suspend()
        try:
            with pytest.raises(UnavailableError):
                await echoes(client, 10, seconds=0.2)
        finally:
            redis_server.resume()
        assert await echoes(client, 20, seconds=5) == [20, 21, 22]
