"""What a scrape of chat shows, on real servers."""

from dataclasses import replace
from typing import Any

import pytest
from chat_builders import UNENDING, Chat, Surroundings, run_chat
from pymongo import AsyncMongoClient
from waiting import eventually

from aula_chat.domain.fences import LossPlace
from aula_devstack.servers.redis import Redis as RedisServer
from aula_devstack.servers.service import Service

LONG = 60  # seconds: does not come in this test


async def raise_fence(around: Surroundings, stream_id: str) -> None:
    """Take the stream from its process, in MongoDB alone."""
    async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
        streams = client.get_default_database()["streams"]
        result = await streams.update_one({"_id": stream_id}, {"$inc": {"fence": 1}})
        assert result.modified_count == 1


async def losses(chat: Chat) -> dict[str, float]:
    """The lost fences that were counted, by place."""
    counts = {place: await chat.metric("fences_lost_total", where=place) for place in LossPlace}
    return {str(place): count for place, count in counts.items() if count}


@pytest.mark.parametrize("place", ["renewal", "append", "end"])
async def test_a_lost_stream_is_counted_once_where_it_was_noticed(
    around: Surroundings, place: str
) -> None:
    checkpoint_seconds = 0.1 if place == "renewal" else LONG
    async with run_chat(around, checkpoint_seconds=checkpoint_seconds) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            stream_id = reading.events[0].json()["streamingSessionId"]
            if place == "append":
                log = chat.process.streams._log
                await log.raise_fence(stream_id, 2, ttl_seconds=60)
            else:
                await raise_fence(around, stream_id)
            if place == "end":
                await student.stop(session_id)
            events = await reading.to_end()
        assert events[-1].event == "reconnect"

        async def idle() -> bool:
            return await chat.metric("streams_running") == 0

        await eventually(idle)
        assert await losses(chat) == {place: 1}


async def test_a_claim_that_is_lost_before_its_start_is_counted(
    chat: Chat, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = chat.process.streams._accounts
    reserve = accounts.reserve

    async def lose_meanwhile(stream_id: str, *others: Any) -> int:
        allowed = await reserve(stream_id, *others)
        await raise_fence(around, stream_id)
        return allowed

    monkeypatch.setattr(accounts, "reserve", lose_meanwhile)
    student = await chat.student()
    session_id = await student.new_session()
    answer = await student.post(f"/api/chat/sessions/{session_id}/stream", {"message": "Hi"})
    assert answer.status_code == 503
    assert await losses(chat) == {"start": 1}


async def test_the_time_without_redis_shows_while_it_lasts(
    around: Surroundings, redis_server: RedisServer
) -> None:
    async with run_chat(replace(around, redis_url=redis_server.url)) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk", 2)
            assert await chat.metric("stream_log_append_seconds_count") >= 1
            assert await chat.metric("streams_degraded") == 0
            assert await chat.metric("streams_degraded_seconds_total") == 0
            redis_server.stop()
            await reading.until_seen("degraded")
            await reading.until_more(4)
            assert await chat.metric("streams_degraded") == 1
            first = await chat.metric("streams_degraded_seconds_total")
            assert first > 0
            assert await chat.metric("streams_degraded_seconds_total") > first
            assert await chat.metric("stream_log_unacknowledged_events") >= 3
            assert await chat.metric("stream_log_lag_seconds") > 0
            redis_server.start()

            async def mended() -> bool:
                return await chat.metric("streams_degraded") == 0

            await eventually(mended)
            await student.stop(session_id)
            assert (await reading.to_end())[-1].event == "complete"

        async def level() -> bool:
            return await chat.metric("stream_log_unacknowledged_events") == 0

        await eventually(level)
        assert await chat.metric("stream_log_lag_seconds") == 0
        total = await chat.metric("streams_degraded_seconds_total")
        assert total > first
        assert await chat.metric("streams_degraded_seconds_total") == total


async def test_what_accounting_has_not_settled_shows_at_every_process(
    around: Surroundings, accounting: Service
) -> None:
    async with run_chat(around) as chat, run_chat(around) as other:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk", 2)
            accounting.kill()
            try:
                await student.stop(session_id)
                events = await reading.to_end()
                assert events[-1].json()["settlement"] == "pending"
                for process in (chat, other):

                    async def shows(at: Chat = process) -> bool:
                        return await at.metric("streams_unsettled") == 1

                    await eventually(shows)
                    age = await process.metric("streams_unsettled_age_seconds")
                    assert age > 0
                    assert await process.metric("streams_unsettled_age_seconds") > age
            finally:
                accounting.start()

        async def settled() -> bool:
            return await other.metric("streams_unsettled") == 0

        await eventually(settled)
        assert await other.metric("streams_unsettled_age_seconds") == 0
