"""The same cases over the log in memory and the real one: in Redis, and in a Redis Cluster.

In a cluster of one node by the client that the service uses, and in one of three by redis-py's
own for clusters, which sends each part of a pipeline where its keys are.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from memory_stream_log import MemoryStreamLog
from pydantic import SecretStr
from redis.asyncio import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import ResponseError
from redis_cluster import SLOTS, running_cluster
from stream_builders import chunk

from aula_chat.domain.events import LAST_NUMBER, number_of
from aula_chat.domain.ports import LogAnswer, LogAppend, StreamLog
from aula_chat.storage.stream_log import RedisStreamLog
from aula_common.ids import new_id
from aula_common.redis import create_redis
from aula_common.settings import RedisSettings


@pytest.fixture(scope="module")
def node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), nodes=1) as [node]:
        yield node.url


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One of a cluster's three nodes."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), nodes=3) as nodes:
        yield nodes[0].url


@pytest.fixture(params=["memory", "redis", "node", "cluster"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[StreamLog]:
    """A log of each kind."""
    if request.param == "memory":
        yield MemoryStreamLog()
    elif request.param == "cluster":
        async with RedisCluster.from_url(request.getfixturevalue("cluster_url")) as cluster:
            yield RedisStreamLog(cluster)
    else:
        url = request.getfixturevalue(f"{request.param}_url")
        settings = RedisSettings(redis_url=SecretStr(url))
        async with create_redis(settings, application="test") as redis:
            yield RedisStreamLog(redis)


def frames(stream_id: str, first: int, last: int) -> bytes:
    return b"".join(chunk(stream_id, number, f"{number} \r\n") for number in range(first, last + 1))


def append(stream_id: str, top: int, number: int, *, fence: int = 1) -> LogAppend:
    return LogAppend(stream_id, fence, top, number, frames(stream_id, top + 1, number), 60)


async def answer_of(log: StreamLog, item: LogAppend) -> LogAnswer:
    [answer] = await log.append([item])
    assert answer is not None
    return answer


async def test_frames_come_back_in_order_after_any_position(log: StreamLog) -> None:
    one = new_id("str")
    for top, number in ((0, 1), (1, 4), (4, 6)):
        answer = await answer_of(log, append(one, top, number))
        assert answer == LogAnswer(accepted=True, top=number, fenced=False, stop_asked=False)
    for after in range(8):
        found = (await log.read({one: after}))[one]
        assert [number_of(frame) for frame in found] == list(range(after + 1, 7))
    assert b"".join((await log.read({one: 0}))[one]) == frames(one, 1, 6)
    assert (await log.read({one: LAST_NUMBER}))[one] == []


async def test_an_append_onto_another_top_is_refused_and_says_where_the_log_ends(
    log: StreamLog,
) -> None:
    one = new_id("str")
    await log.append([append(one, 0, 3)])
    for top, number in ((0, 3), (2, 4), (4, 5)):
        answer = await answer_of(log, append(one, top, number))
        assert answer == LogAnswer(accepted=False, top=3, fenced=False, stop_asked=False)
    assert len((await log.read({one: 0}))[one]) == 3


async def test_a_lower_fence_is_refused_even_with_the_right_top(log: StreamLog) -> None:
    one = new_id("str")
    await log.append([append(one, 0, 1)])
    await log.raise_fence(one, 2, ttl_seconds=60)
    answer = await answer_of(log, append(one, 1, 2))
    assert (answer.accepted, answer.fenced, answer.top) == (False, True, 1)
    answer = await answer_of(log, append(one, 1, 2, fence=2))
    assert answer.accepted


async def test_a_fence_is_only_ever_raised(log: StreamLog) -> None:
    one = new_id("str")
    await log.raise_fence(one, 3, ttl_seconds=60)
    await log.raise_fence(one, 2, ttl_seconds=60)
    answer = await answer_of(log, append(one, 0, 1, fence=2))
    assert answer.fenced


async def test_an_append_raises_the_fence_to_its_own(log: StreamLog) -> None:
    one = new_id("str")
    await log.append([append(one, 0, 1, fence=2)])
    answer = await answer_of(log, append(one, 1, 2, fence=1))
    assert answer.fenced


async def test_one_streams_refusal_does_not_touch_another(log: StreamLog) -> None:
    one, other = new_id("str"), new_id("str")
    await log.raise_fence(one, 9, ttl_seconds=60)
    answers = await log.append([append(one, 0, 1), append(other, 0, 2)])
    assert [answer and answer.accepted for answer in answers] == [False, True]
    found = await log.read({one: 0, other: 1, "str_unknown": 0})
    assert [len(found[key]) for key in (one, other, "str_unknown")] == [0, 1, 0]


async def test_every_answer_tells_of_a_stop(log: StreamLog) -> None:
    one = new_id("str")
    await log.ask_stop(one, ttl_seconds=60)
    answers = [await answer_of(log, append(one, top, top + 1)) for top in (0, 7)]
    assert [(answer.accepted, answer.stop_asked) for answer in answers] == [
        (True, True), (False, True),
    ]  # fmt: skip


async def test_a_deleted_log_is_empty_and_still_fenced(log: StreamLog) -> None:
    one, other = new_id("str"), new_id("str")
    await log.append([append(one, 0, 3, fence=2), append(other, 0, 2)])
    await log.delete([one, "str_unknown"])
    found = await log.read({one: 0, other: 0})
    assert [len(found[key]) for key in (one, other)] == [0, 2]
    answer = await answer_of(log, append(one, 0, 1, fence=1))
    assert answer.fenced


async def test_nothing_to_do_is_no_error(log: StreamLog) -> None:
    assert await log.append([]) == []
    assert await log.read({}) == {}
    await log.delete([])


async def test_many_streams_are_appended_and_read_together(log: StreamLog) -> None:
    many = [new_id("str") for _ in range(60)]
    thirds = {key_slot(one.encode()) * 3 // SLOTS for one in many}
    assert thirds == {0, 1, 2}  # each node of the three has some
    for top in (0, 1):
        answers = await log.append([append(one, top, top + 1) for one in many])
        assert {answer and (answer.accepted, answer.top) for answer in answers} == {(True, top + 1)}
    found = await log.read(dict.fromkeys(many, 1))
    assert [number_of(frame) for one in many for frame in found[one]] == [2] * 60


@pytest.mark.parametrize("kind", ["redis", "node", "cluster"])
async def test_a_server_that_has_forgotten_the_script_is_taught_it_again(
    request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    many = [new_id("str") for _ in range(20)]
    async with RedisCluster.from_url(url) if kind == "cluster" else Redis.from_url(url) as redis:
        log = RedisStreamLog(redis)
        for top in range(3):
            answers = await log.append([append(one, top, top + 1) for one in many])
            assert {answer and (answer.accepted, answer.top) for answer in answers} == {
                (True, top + 1)
            }
            await redis.script_flush()


async def test_the_cluster_refuses_what_crosses_slots(node_url: str) -> None:
    # so what the log does in it crosses none
    async with Redis.from_url(node_url) as redis:
        with pytest.raises(ResponseError, match=r"CROSSSLOT|same slot"):
            await redis.mset({"aula:a": 1, "aula:b": 2})


async def test_a_log_that_gives_no_answer_hides_those_of_no_others(log: StreamLog) -> None:
    one, broken = new_id("str"), new_id("str")
    if isinstance(log, MemoryStreamLog):
        log.silent.add(broken)
    else:  # as where its server is away
        assert isinstance(log, RedisStreamLog)
        await log._redis.set(f"aula:stream:{{{broken}}}:log", "no stream")
    for top, number in ((0, 1), (1, 2)):
        answers = await log.append([append(broken, 0, 1), append(one, top, number)])
        assert answers == [
            None,
            LogAnswer(accepted=True, top=number, fenced=False, stop_asked=False),
        ]
