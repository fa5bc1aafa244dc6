"""Coming back to an answer: here and elsewhere, while it runs and after."""

from asyncio import to_thread
from datetime import timedelta
from typing import Any

import pymongo
import redis
from chat_builders import UNENDING, Chat, Surroundings, numbers_of, run_chat, text_of
from waiting import eventually

from aula_devstack.sse_client import SseEvent


def same(events: list[SseEvent], whole: list[SseEvent]) -> bool:
    return [(e.id, e.event, e.data) for e in events] == [(e.id, e.event, e.data) for e in whole]


async def test_resuming_from_every_event_gives_exactly_the_rest(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    whole = await student.ask(session_id, "[[pace=0 tokens=20]] Hi")
    assert same(await student.follow(session_id), whole)
    for position, event in enumerate(whole[:-1], 1):
        assert same(await student.follow(session_id, event.id), whole[position:])
    stream_id = whole[0].id.rpartition(".")[0]
    assert same(await student.follow(session_id, f"{stream_id}.0"), whole)
    for beyond in (whole[-1].id, f"{stream_id}.{len(whole) + 5}"):
        answer = await student.get(
            f"/api/chat/sessions/{session_id}/stream", headers={"Last-Event-ID": beyond}
        )
        assert answer.status_code == 204


async def test_the_latest_is_told_by_no_processs_clock(chat: Chat, around: Surroundings) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
    # as if a process whose clock is ahead had answered
    ahead = timedelta(hours=1)

    def shift() -> None:
        with pymongo.MongoClient[dict[str, Any]](around.mongo_uri) as client:
            database = client.get_default_database()
            for name, fields in (
                ("streams", ("startedAt", "endedAt")),
                ("sessions", ("updatedAt",)),
            ):
                for document in database[name].find():
                    later = {field: document[field] + ahead for field in fields}
                    database[name].update_one({"_id": document["_id"]}, {"$set": later})

    await to_thread(shift)
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk")
        async with student.following(session_id) as follows:
            await follows.until_seen("chunk")
            await student.stop(session_id)
            whole = await reading.to_end()
            assert same(await follows.to_end(), whole)
    # nor is the answer older than its question
    question, answer = (await student.messages(session_id))[2:]
    assert question["timestamp"] <= answer["timestamp"]


async def test_resuming_while_it_runs_here_and_at_a_second_process(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with run_chat(around) as second, student.asking(session_id, UNENDING) as first:
        await first.until_seen("chunk", 3)
        seen = first.events[3].id
        other = second.person(student.id)
        async with student.following(session_id, seen) as here:
            async with (
                other.following(session_id, seen) as there,
                other.following(session_id) as there_from_the_first,
            ):
                for reading in (first, here, there, there_from_the_first):
                    await reading.until_seen("chunk", 7)
                await student.stop(session_id)
                rest_there = await there.to_end()
                whole_there = await there_from_the_first.to_end()
            rest_here = await here.to_end()
        whole = await first.to_end()
        assert numbers_of(whole) == list(range(1, len(whole) + 1))
        assert same(rest_here, whole[4:])
        assert same(rest_there, whole[4:])
        assert same(whole_there, whole)
        for position in (0, 7, len(whole) - 2):  # after its end, from the log
            assert same(await other.follow(session_id, whole[position].id), whole[position + 1 :])
        ahead = await student.get(
            f"/api/chat/sessions/{session_id}/stream", headers={"Last-Event-ID": whole[-1].id}
        )
        assert ahead.status_code == 204


async def test_an_event_that_is_not_there_yet_is_no_event(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("start")
        stream_id = reading.events[0].id.rpartition(".")[0]
        answer = await student.get(
            f"/api/chat/sessions/{session_id}/stream",
            headers={"Last-Event-ID": f"{stream_id}.9000"},
        )
        assert answer.status_code == 400
        await student.stop(session_id)
        await reading.to_end()


async def test_another_sessions_event_is_no_event_of_this_one(chat: Chat) -> None:
    student = await chat.student()
    first, second = await student.new_session(), await student.new_session()
    events = await student.ask(first, "[[pace=0 tokens=3]] Hi")
    answer = await student.get(
        f"/api/chat/sessions/{second}/stream", headers={"Last-Event-ID": events[1].id}
    )
    assert answer.status_code == 400


async def test_after_the_replay_time_there_is_nothing_to_follow_but_the_rest_to_resume(
    around: Surroundings,
) -> None:
    async with run_chat(around) as first:
        student = await first.student()
        session_id = await student.new_session()
        whole = await student.ask(session_id, "[[pace=0 tokens=5]] Hi")
    async with run_chat(around, replay_seconds=1) as later:
        student = later.person(student.id)
        path = f"/api/chat/sessions/{session_id}/stream"

        async def replay_is_over() -> bool:
            return (await student.get(path)).status_code == 204

        await eventually(replay_is_over)
        assert same(await student.follow(session_id, whole[2].id), whole[3:])


async def test_with_the_log_gone_the_client_is_told_to_reload(around: Surroundings) -> None:
    async with run_chat(around) as first:
        student = await first.student()
        session_id = await student.new_session()
        whole = await student.ask(session_id, "[[pace=0 tokens=5]] Hi")
    with redis.Redis.from_url(around.redis_url) as client:
        client.flushdb()
    async with run_chat(around) as second:
        student = second.person(student.id)
        for last_event_id in (whole[2].id, None):
            [event] = await student.follow(session_id, last_event_id)
            assert (event.event, event.id) == ("complete", whole[-1].id)
            assert event.json()["reload"] is True
            assert event.json()["messageId"] == whole[-1].json()["messageId"]


async def test_a_stop_reaches_the_process_that_writes(chat: Chat, around: Surroundings) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with run_chat(around) as second, student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk")
        await second.person(student.id).stop(session_id)
        assert (await reading.to_end())[-1].json()["status"] == "stopped"


async def test_a_flushed_log_costs_readers_nothing(chat: Chat, around: Surroundings) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with run_chat(around) as second, student.asking(session_id, UNENDING) as first:
        await first.until_seen("chunk", 5)
        async with second.person(student.id).following(session_id) as there:
            await there.until_seen("chunk", 2)
            with redis.Redis.from_url(around.redis_url) as client:
                client.flushdb()
            for reading in (first, there):
                await reading.until_more(5)
            await student.stop(session_id)
            whole = await first.to_end()
            assert numbers_of(whole) == list(range(1, len(whole) + 1))
            assert same(await there.to_end(), whole)
    assert (await student.messages(session_id))[1]["content"] == text_of(whole)


async def test_a_process_that_ends_ends_its_streams_stored_settled_and_told(
    around: Surroundings,
) -> None:
    async with run_chat(around, drain_deadline=4) as leaving, run_chat(around) as staying:
        student = await leaving.student()
        session_id = await student.new_session()
        other = staying.person(student.id)
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk", 2)
            async with other.following(session_id) as elsewhere:
                await leaving.app.state.drain.run(5)
                events = await reading.to_end()
                assert (events[-1].event, events[-1].json()["code"]) == (
                    "error", "STREAM_INTERRUPTED",
                )  # fmt: skip
                assert same(await elsewhere.to_end(), events)
        assert events[-1].json()["settlement"] == "settled"
        answer = (await other.messages(session_id))[1]
        assert (answer["status"], answer["content"]) == ("interrupted", text_of(events))


async def test_a_draining_process_sends_readers_of_other_processes_streams_away(
    around: Surroundings,
) -> None:
    async with run_chat(around) as writing, run_chat(around) as leaving:
        student = await writing.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            async with leaving.person(student.id).following(session_id) as elsewhere:
                await elsewhere.until_seen("chunk")
                await leaving.app.state.drain.run(5)
                last = (await elsewhere.to_end())[-1]
                assert (last.event, last.json()["reason"]) == ("reconnect", "drain")
            await student.stop(session_id)
            assert (await reading.to_end())[-1].event == "complete"
