"""How many observe a session over all replicas, in Redis and in a cluster."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis, RedisCluster
from redis_cluster import running_cluster
from waiting import eventually

from aula_chat.domain.observers import Watching
from aula_chat.storage.observers import ObserverRepository
from aula_common.errors import UnavailableError
from aula_common.ids import new_id
from aula_devstack.servers.redis import Redis as RedisServer


@pytest.fixture(params=["redis", "cluster"])
async def observers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ObserverRepository]:
    """The repository, on one server or on three."""
    if request.param == "redis":
        async with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
            yield ObserverRepository(redis)
        return
    with running_cluster(tmp_path_factory.mktemp("cluster"), nodes=3) as nodes:
        async with RedisCluster.from_url(nodes[0].url) as cluster:
            yield ObserverRepository(cluster)


async def test_each_replica_counts_those_of_all_until_they_leave_or_lapse(
    observers: ObserverRepository,
) -> None:
    async def count(*present: str, gone: tuple[str, ...] = (), ttl: float = 60) -> int:
        counts = await observers.count({session: Watching(present, gone)}, ttl_seconds=ttl)
        return counts[session]

    session = new_id("ses")
    assert await count() == 0
    assert await count("obs_a", "obs_b") == 2
    assert await count("obs_b", "obs_c") == 3  # another replica
    assert await count("obs_b") == 3
    assert await count(gone=("obs_a", "obs_never")) == 2
    assert await count("obs_dead", ttl=0.2) == 3

    async def lapsed() -> bool:
        return await count("obs_b", "obs_c") == 2

    await eventually(lapsed)
    assert await count("obs_b", gone=("obs_b", "obs_c")) == 1  # it has come back


async def test_many_sessions_are_counted_in_one_go(observers: ObserverRepository) -> None:
    sessions = [new_id("ses") for _ in range(60)]
    watching = {
        session: Watching([f"obs_{n}" for n in range(index)], ["obs_gone"] if index % 2 else [])
        for index, session in enumerate(sessions)
    }
    counts = await observers.count(watching, ttl_seconds=60)
    assert counts == {session: index for index, session in enumerate(sessions)}


async def test_redis_away_is_said_so(redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        redis_server.kill()
        with pytest.raises(UnavailableError):
            await ObserverRepository(redis).count({"ses_a": Watching()}, ttl_seconds=60)
