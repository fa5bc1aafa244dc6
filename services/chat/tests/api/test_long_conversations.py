"""A long conversation: what the model is given of it, who is told, and that it costs no more."""

from asyncio import to_thread
from functools import partial
from typing import Any

import pymongo
import pytest
from chat_builders import (
    HAIKU,
    OBSERVE,
    SONNET,
    TITAN,
    UNENDING,
    Caller,
    Chat,
    Reading,
    Surroundings,
    numbers_of,
    run_chat,
    text_of,
)
from long_talks import WORDS, Replies, Reply, examined, lengthen
from pymongo import AsyncMongoClient

from aula_common.ids import new_id
from aula_devstack.sse_client import SseEvent

LLAMA = "meta.llama2-13b-chat-v1"
HOW_MANY = "[[pace=0]] How many messages are there?"
SHORT = "[[pace=0 tokens=3]] Hi"
GIVEN = 198  # of 200 the question is one, and the first must be a question too


async def long_session(around: Surroundings, student: Caller, count: int, **body: str) -> str:
    session_id = await student.new_session(**body)
    await to_thread(lengthen, around.mongo_uri, session_id, count)
    return session_id


def dropped(events: list[SseEvent]) -> list[int]:
    """What was told, in order."""
    return [event.json()["droppedMessages"] for event in events if event.event == "trimmed"]


def said(messages: int) -> str:
    """What the model says that was given so many."""
    return f"With this one there are {messages} messages in our conversation"


def knows(count: int, reading: Reading) -> bool:
    return dropped(reading.events)[-1:] == [count]


async def test_the_model_is_given_the_newest_messages_and_the_reader_told_of_the_rest(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000)
    session_id = await long_session(around, student, 300)
    events = await student.ask(session_id, HOW_MANY)
    assert text_of(events).startswith(said(GIVEN + 1))
    assert dropped(events) == [300 - GIVEN]
    told = [event.event for event in events if event.event != "degraded"]  # a slow machine's log
    assert told[:3] == ["trimmed", "start", "model"]
    assert numbers_of(events) == list(range(1, len(numbers_of(events)) + 1))
    again = await student.ask(session_id, HOW_MANY)
    assert dropped(again) == [302 - GIVEN]
    assert [one["content"][:6] for one in (await student.messages(session_id))[:2]] == [
        "000001", "000002",
    ]  # fmt: skip


async def test_a_conversation_that_fits_says_nothing(chat: Chat, around: Surroundings) -> None:
    student = await chat.student(credits=10_000)
    session_id = await long_session(around, student, 196)
    events = await student.ask(session_id, HOW_MANY)
    assert text_of(events).startswith(said(197))
    assert dropped(events) == []


async def test_deleted_messages_take_no_others_place_and_positions_never_return(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000)
    session_id = await long_session(around, student, 300)
    path = f"/api/chat/sessions/{session_id}/messages"
    for position in (299, 300, 40):
        gone = await student.request("DELETE", f"{path}/{session_id}-{position}")
        assert gone.status_code == 204
    events = await student.ask(session_id, HOW_MANY)
    assert text_of(events).startswith(said(GIVEN + 1))
    # it goes by positions, where number 40 is missing
    assert dropped(events) == [298 - GIVEN]
    newest = await student.get(path, params={"page": 15, "limit": 20})
    assert newest.json()["pagination"]["total"] == 299
    assert [one["role"] for one in newest.json()["messages"][-2:]] == ["user", "assistant"]
    assert newest.json()["messages"][-2]["content"] == HOW_MANY
    gone = await student.request("DELETE", f"{path}/{newest.json()['messages'][-1]['id']}")
    assert gone.status_code == 204
    await student.ask(session_id, SHORT)
    positions = await to_thread(positions_of, around, session_id)
    assert positions == [*(p for p in range(1, 299) if p != 40), 301, 303, 304]


def positions_of(around: Surroundings, session_id: str) -> list[int]:
    with pymongo.MongoClient[dict[str, Any]](around.mongo_uri) as client:
        stored = client.get_default_database()["messages"].find({"sessionId": session_id})
        return sorted(one["position"] for one in stored)


async def test_every_reader_is_told_wherever_it_reads_and_nothing_of_it_is_numbered(
    around: Surroundings,
) -> None:
    left_out = 300 - GIVEN
    async with (
        run_chat(around, observation_seconds=120.0) as chat,
        run_chat(around, observation_seconds=120.0) as second,
    ):
        student = await chat.student(credits=10_000)
        session_id = await long_session(around, student, 300)
        watch = f"/api/chat/sessions/{session_id}/observe?follow=true&observationId={new_id('obs')}"
        async with (
            student.asking(session_id, UNENDING) as reading,
            second.person(student.id).following(session_id) as tab,
            second.service(*OBSERVE).reading("GET", watch) as observer,
        ):
            for each in (reading, tab, observer):
                await each.until(partial(knows, left_out))
            await reading.until_seen("chunk")
            last = reading.events[-1].id
            await student.stop(session_id)
            whole = await reading.to_end()
            await observer.until_seen("complete")
            assert dropped(observer.events) == [left_out]
        assert numbers_of(whole) == list(range(1, len(numbers_of(whole)) + 1))
        for process in (chat, second):
            rest = await process.person(student.id).follow(session_id, last)
            assert dropped(rest) == [left_out]
            assert numbers_of(rest) == [n for n in numbers_of(whole) if n > number(last)]


def number(event_id: str) -> int:
    return int(event_id.rpartition(".")[2])


async def test_a_fallback_is_given_less_where_its_window_is_smaller_and_says_so(
    chat: Chat,
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session()
    for part in range(3):
        await student.ask(session_id, f"{part} {'word ' * 1900} [[pace=0 tokens=3]]")
    faults = "[[fault=throttled model=anthropic.claude-3]]"
    events = await student.ask(session_id, f"{faults} [[pace=0]] How many messages are there?")
    assert [event.event for event in events[:3]] == ["start", "trimmed", "model"]
    assert events[2].json() == {"model": TITAN, "fallbackApplied": True}
    [left_out] = dropped(events)
    assert left_out == 4
    assert text_of(events).startswith(said(6 - left_out + 1))


async def test_a_question_beyond_the_models_window_is_refused_before_anything_happens(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    body = {"message": "[[pace=0 tokens=3]] " + "ä" * 5000, "modelId": LLAMA}
    for kind in ("stream", "messages"):
        refused = await student.post(f"{path}/{kind}", body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        [error] = refused.json()["errors"]
        assert error["field"] == "message"
        assert "6288 bytes" in error["message"]
        assert "ä" not in refused.text
    async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
        for collection in ("streams", "messages"):
            assert await client.get_default_database()[collection].count_documents({}) == 0
    assert (await chat.credits_of(student.id))["held"] == 0
    events = await student.ask(session_id, body["message"])  # the session's own model reads it
    assert events[-1].event == "complete"


async def test_a_conversation_that_the_model_finds_too_long_is_shortened_until_it_fits(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session(modelId=LLAMA)
    await student.ask(session_id, SHORT)
    dense = "a1" * 2600  # more tokens than its bytes / 3 are taken for
    events = await student.ask(session_id, dense)
    assert events[-1].json()["code"] == "PROVIDER_UNAVAILABLE"  # the question alone is too long
    for _ in range(2):
        events = await student.ask(session_id, SHORT)
        assert events[-1].event == "complete"
        assert dropped(events)  # what was too long is among what is left out
    assert (await chat.credits_of(student.id))["held"] == 0


async def test_half_of_a_conversation_is_left_out_each_time_and_the_readers_are_told(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session()
    await to_thread(lengthen, around.mongo_uri, session_id, 100, "1 2 3 4 " * 1250)
    events = await student.ask(session_id, HOW_MANY)
    assert dropped(events) == [42, 72]  # what the window holds by estimate, then half of that
    assert text_of(events).startswith(said(100 - 72 + 1))


async def test_a_fallback_that_cannot_hold_the_question_is_not_asked(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session()
    long = "[[fault=throttled model=anthropic.claude-3]] " + "щ" * 9900
    events = await student.ask(session_id, long)
    assert events[-1].json()["code"] == "PROVIDER_UNAVAILABLE"
    async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
        [stream] = await client.get_default_database()["streams"].find().to_list()
    assert stream["reservation"]["model_ids"] == [SONNET, HAIKU]


async def test_ten_thousand_messages_cost_a_stream_what_two_hundred_do(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = Replies()
    listened = partial(AsyncMongoClient, event_listeners=[replies])
    monkeypatch.setattr("aula_common.mongo.AsyncMongoClient", listened)
    seen: dict[int, list[Reply]] = {}
    async with run_chat(around) as chat:
        student = await chat.student(credits=100_000)
        for count in (200, 230, 10_000):
            session_id = await long_session(around, student, count)
            await student.ask(session_id, SHORT)  # from now on its process knows its end
            replies.seen.clear()
            events = await student.ask(session_id, SHORT)
            assert dropped(events) == [count + 2 - GIVEN]
            seen[count] = [*replies.of("sessions"), *replies.of("messages")]
            looks = [one for one in replies.sent if "aggregate" in one]
            async with AsyncMongoClient[dict[str, Any]](around.mongo_uri) as client:
                # by now with the question and the answer
                assert await examined(client.get_default_database(), looks[-1]) <= 220 + 2
    assert seen[230] == seen[10_000]
    assert len(seen[200]) == len(seen[10_000])
    for count, collection in ((200, "sessions"), (230, "messages")):
        [history] = [one for one in seen[count] if one.collection == collection and one.documents]
        assert (history.command, history.documents) == ("aggregate", 200)
        assert history.size < 201 * (len(WORDS) + 80)  # a position, a role, a text, and no more
