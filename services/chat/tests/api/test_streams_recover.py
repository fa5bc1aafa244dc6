"""Streams whose process died, and a log that is away."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from chat_builders import UNENDING, Chat, Surroundings, numbers_of, run_chat, text_of
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from stream_builders import chunk, outcome, reservation, stream
from waiting import eventually

from aula_chat.domain.events import event_frame
from aula_chat.domain.ports import LogAppend
from aula_chat.domain.streams import Checkpoint, Outcome, Phase, Stream, intent_of
from aula_chat.domain.turns import Beginning
from aula_chat.services.conclusions import question_message
from aula_chat.storage.stream_log import RedisStreamLog
from aula_chat.storage.streams import StreamRepository
from aula_chat.storage.turns import TurnRepository
from aula_devstack.servers.redis import Redis as RedisServer


class DeadProcess:
    """What a process that died has left behind in the databases."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around

    async def leave(
        self,
        left: Stream,
        *,
        shown: list[str],
        checkpoint: Checkpoint | None = None,
        stored: Outcome | None = None,
    ) -> None:
        frames = [event_frame(left.id, 1, "start", {"modelId": "m"})] if shown else []
        frames += [chunk(left.id, number, text) for number, text in enumerate(shown, 2)]
        redis = Redis.from_url(self.around.redis_url)
        async with AsyncMongoClient[dict[str, Any]](self.around.mongo_uri) as client, redis:
            database = client.get_default_database()
            repository = StreamRepository(database["streams"])
            claim = replace(left, phase=Phase.CLAIMED)
            assert await repository.claim(claim, lease_seconds=0) is None
            if left.phase is not Phase.CLAIMED:
                question = question_message(left)
                begun = await TurnRepository(database).begin(
                    left, question, after=None, lease_seconds=0
                )
                assert begun is Beginning.BEGUN
            if checkpoint is not None:
                await repository.renew(left.id, 1, lease_seconds=0, checkpoint=checkpoint)
            if stored is not None:
                await repository.end(
                    left, outcome=stored, intent=intent_of(stored, left.reservation),
                    last_number=len(frames) + 1, ended_at=datetime.now(UTC), lease_seconds=0,
                )  # fmt: skip
            if frames:
                append = LogAppend(left.id, 1, 0, len(frames), b"".join(frames), 60)
                [answer] = await RedisStreamLog(redis).append([append])
                assert answer is not None
                assert answer.accepted


async def reserved(chat: Chat, **changes: object) -> Stream:
    """A stream of a new student, with its credits held."""
    student = await chat.student()
    session_id = await student.new_session()
    left = stream(
        session_id=session_id, user_id=student.id, started_at=datetime.now(UTC), **changes
    )
    await chat.process.streams._accounts.reserve(left.id, student.id, session_id, reservation())
    return left


async def recovered(chat: Chat, left: Stream) -> None:
    student = chat.person(left.user_id)

    async def free() -> bool:
        shown = await student.get(f"/api/chat/sessions/{left.session_id}")
        return not shown.json()["metadata"]["activeStreamingSession"]

    await eventually(free)


@pytest.fixture
def dead(around: Surroundings) -> DeadProcess:
    """A process that is no more."""
    return DeadProcess(around)


async def test_what_a_dead_process_showed_is_stored_charged_and_told(
    chat: Chat, dead: DeadProcess
) -> None:
    left = await reserved(chat)
    student = chat.person(left.user_id)
    checkpoint = Checkpoint(text="Because ", number=2)
    await dead.leave(left, shown=["Because ", "of the air."], checkpoint=checkpoint)
    await recovered(chat, left)
    question, answer = await student.messages(left.session_id)
    assert question["content"] == left.question
    assert (answer["content"], answer["status"]) == ("Because of the air.", "interrupted")
    events = await student.follow(left.session_id)
    assert numbers_of(events) == [1, 2, 3, 4]
    assert (events[-1].event, events[-1].json()["code"]) == ("error", "STREAM_INTERRUPTED")
    assert answer["metadata"]["credits"] == 1
    assert (await chat.credits_of(left.user_id))["held"] == 0
    events = await student.ask(left.session_id, "[[pace=0 tokens=3]] Go on")
    assert events[-1].event == "complete"


async def test_the_checkpoint_serves_where_the_log_is_gone(chat: Chat, dead: DeadProcess) -> None:
    left = await reserved(chat)
    await dead.leave(left, shown=[], checkpoint=Checkpoint(text="Because of", number=3))
    await recovered(chat, left)
    student = chat.person(left.user_id)
    assert (await student.messages(left.session_id))[1]["content"] == "Because of"
    [event] = await student.follow(left.session_id, f"{left.id}.3")
    assert (event.id, event.json()["reload"]) == (f"{left.id}.4", True)


async def test_a_claim_that_promised_nothing_is_undone(chat: Chat, dead: DeadProcess) -> None:
    left = await reserved(chat, phase=Phase.CLAIMED)
    await dead.leave(left, shown=[])
    await recovered(chat, left)
    student = chat.person(left.user_id)
    assert await student.messages(left.session_id) == []
    balance = await chat.credits_of(left.user_id)
    assert (balance["available"], balance["held"]) == (1000, 0)
    path = f"/api/chat/sessions/{left.session_id}/stream"
    assert (await student.get(path)).status_code == 204


async def test_an_end_that_was_stored_is_published_as_it_was(chat: Chat, dead: DeadProcess) -> None:
    left = await reserved(chat)
    await dead.leave(left, shown=["All ", "of it."], stored=outcome("All of it."))
    await recovered(chat, left)
    student = chat.person(left.user_id)
    answer = (await student.messages(left.session_id))[1]
    assert (answer["content"], answer["status"]) == ("All of it.", "complete")
    assert answer["metadata"]["usage"] == {"inputTokens": 90, "outputTokens": 6, "estimated": False}
    events = await student.follow(left.session_id)
    assert (numbers_of(events), events[-1].event) == ([1, 2, 3, 4], "complete")


async def test_the_next_message_recovers_the_session_by_itself(
    around: Surroundings, dead: DeadProcess
) -> None:
    async with run_chat(around, recovery_seconds=600) as chat:
        left = await reserved(chat)
        await dead.leave(left, shown=["Half"])
        student = chat.person(left.user_id)
        events = await student.ask(left.session_id, "[[pace=0 tokens=3]] Again")
        assert events[-1].event == "complete"
        assert [message["content"] for message in await student.messages(left.session_id)][:2] == [
            left.question, "Half",
        ]  # fmt: skip


async def test_with_redis_away_answers_go_on_and_say_so(
    around: Surroundings, redis_server: RedisServer
) -> None:
    async with run_chat(replace(around, redis_url=redis_server.url)) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk", 2)
            redis_server.stop()
            await reading.until_seen("degraded")
            await reading.until_more(4)
            redis_server.start()
            await reading.until_more(10)
            await student.stop(session_id)
            events = await reading.to_end()
        assert numbers_of(events) == list(range(1, len(numbers_of(events)) + 1))
        assert events[-1].event == "complete"
        assert (await student.messages(session_id))[1]["content"] == text_of(events)
