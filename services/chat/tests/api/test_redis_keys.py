"""What chat sends to Redis would do on a Redis Cluster, and every key is written down."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_builders import OBSERVE, UNENDING, Chat, Surroundings, run_chat
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from redis_cluster import running_cluster
from redis_traffic import Command, Traffic, keys_of, pattern, recorded, slots

from aula_common.ids import new_id
from aula_devstack.servers.redis import Redis as RedisServer

README = Path(__file__).parents[2] / "README.md"
LONG = 60  # seconds: does not come in this test


def written_down() -> set[str]:
    """The keys in the table of the page."""
    return set(re.findall(r"^\| `(aula:[^`]+)` \|", README.read_text(), re.MULTILINE))


async def whole_life(first: Chat, second: Chat) -> None:
    """Streams that are written, resumed and stopped elsewhere, observed, and taken over."""
    student = await first.student(credits=10_000)
    elsewhere = second.person(student.id)
    stopped, taken = await student.new_session(), await student.new_session()
    monitoring = second.service(*OBSERVE)
    observation_id = new_id("obs")
    async with (
        student.asking(stopped, UNENDING) as reading,
        student.asking(taken, UNENDING) as orphaned,
    ):
        await reading.until_seen("chunk", 2)
        await orphaned.until_seen("chunk", 2)
        path = f"/api/chat/sessions/{stopped}/observe?observationId={observation_id}"
        async with monitoring.reading("GET", path) as observer:
            await observer.until_seen("chunk")
            renewal = {"observationIds": [observation_id, new_id("obs")]}
            answer = await monitoring.post("/internal/observations/renew", renewal)
            assert answer.status_code == 204
            async with elsewhere.following(stopped, reading.events[2].id) as resumed:
                await resumed.until_seen("chunk")
                await elsewhere.stop(stopped)
                assert (await resumed.to_end())[-1].event == "complete"
        assert (await reading.to_end())[-1].event == "complete"
        await give_up(first.around, orphaned.events[0].json()["streamingSessionId"])
        async with elsewhere.following(taken) as resumed:
            assert (await resumed.to_end())[-1].event == "error"


async def give_up(around: Surroundings, stream_id: str) -> None:
    """Have the stream be anybody's."""
    async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
        streams = client.get_default_database()["streams"]
        await streams.update_one({"_id": stream_id}, {"$set": {"leaseMs": 0}})


async def unrenewed(chat: Chat) -> None:
    """An observation that nobody renews, which is looked up at last."""
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/observe?follow=true&observationId={new_id('obs')}"
    async with chat.service(*OBSERVE).reading("GET", path) as observer:
        assert (await observer.to_end())[-1].event == "ended"


@asynccontextmanager
async def traffic_at(url: str, around: Surroundings) -> AsyncIterator[Traffic]:
    """All that two processes of chat send to that server, from their start to their end."""
    here = replace(around, redis_url=url)
    async with (
        recorded(url) as found,
        run_chat(here, checkpoint_seconds=LONG, observation_seconds=1) as first,
        run_chat(here, recovery_seconds=0.2, observation_seconds=1) as second,
    ):
        await whole_life(first, second)
        await unrenewed(second)
    yield found


async def test_no_command_script_or_transaction_crosses_slots_and_every_key_is_written_down(
    around: Surroundings, redis_server: RedisServer
) -> None:
    patterns: set[str] = set()
    several = 0
    async with (
        traffic_at(redis_server.url, around) as traffic,
        Redis.from_url(redis_server.url) as client,
    ):
        for unit in traffic.units():
            keys = [key for command in unit for key in await keys_of(client, command)]
            assert len(slots(keys)) <= 1, unit
            if unit[0].name in {b"EVAL", b"EVALSHA"}:
                # a cluster knows only what is declared
                assert set(keys) == set(await keys_of(client, unit[0])), unit
            several += len(set(keys)) > 1
            patterns |= {pattern(key) for key in keys}
    assert several > 0
    assert patterns == written_down()
    # an append is one round trip: none asks first whether the script is known
    assert not [one.words for one in traffic.commands if one.words[:2] == (b"SCRIPT", b"EXISTS")]


async def test_a_cluster_takes_all_of_it(around: Surroundings, tmp_path: Path) -> None:
    # of one node, which holds all slots and refuses all the same what crosses them
    with running_cluster(tmp_path, nodes=1) as [node]:
        async with traffic_at(node.url, around), Redis.from_url(node.url) as client:
            assert "errorstat_CROSSSLOT" not in await client.info("errorstats")
            with pytest.raises(ResponseError):
                await client.mset({"aula:a": 1, "aula:b": 2})
            assert "errorstat_CROSSSLOT" in await client.info("errorstats")


async def test_the_check_sees_what_crosses_slots(redis_server: RedisServer) -> None:
    # a cluster would refuse the first two, and the third where a node has not both
    async with Redis.from_url(redis_server.url) as client:
        async with recorded(redis_server.url) as found:
            await client.mset({"aula:a": 1, "aula:b": 2})
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.set("aula:a", 1)
                pipeline.set("aula:b", 2)
                await pipeline.execute()
            await client.eval("redis.call('SET', 'aula:b', '1')", 1, "aula:a")
        crossing = [
            unit[0].name
            for unit in found.units()
            if len(slots([key for one in unit for key in await keys_of(client, one)])) > 1
        ]
    assert crossing == [b"MSET", b"SET", b"EVAL"]


def test_an_id_in_a_key_is_named_by_what_it_is() -> None:
    assert pattern(f"aula:stream:{{{new_id('str')}}}:log".encode()) == "aula:stream:{<str>}:log"
    assert Command("lua", (b"get", b"x")).by_script
