"""What is left of streams and readers in a process: nothing."""

import gc
from asyncio import gather, to_thread
from types import ModuleType
from typing import Any

import pymongo
import pytest
from chat_builders import OBSERVE, UNENDING, Caller, Chat, Surroundings, run_chat
from long_talks import WORDS, lengthen
from waiting import eventually, until

from aula_chat.domain.turns import Beginning, Sight
from aula_common.errors import UnavailableError
from aula_common.ids import new_id


async def test_an_ended_stream_is_forgotten_after_the_replay_time(around: Surroundings) -> None:
    async with run_chat(around, replay_seconds=1) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        live = chat.process.streams._live
        await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
        assert len(live._streams) == 1
        assert live.running() == []
        await until(lambda: not live._streams)


async def test_readers_who_leave_leave_nothing_behind(chat: Chat, around: Surroundings) -> None:
    async with run_chat(around) as second:
        student = await chat.student()
        session_id = await student.new_session()
        followed = second.process.streams._followers._followed
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            path = f"/api/chat/sessions/{session_id}/observe?observationId={new_id('obs')}"
            async with (
                second.person(student.id).following(session_id) as other,
                second.service(*OBSERVE).reading("GET", path) as observer,
            ):
                await other.until_seen("chunk")
                await observer.until_seen("chunk")
                assert [entry.users for entry in followed.values()] == [2]
            await until(lambda: not followed)
            await student.stop(session_id)
            await reading.to_end()


async def test_deleting_and_asking_at_once_leaves_no_message_of_a_deleted_session(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000)
    for _ in range(6):
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}"
        asked, deleted = await gather(
            student.post(f"{path}/messages", {"message": "[[pace=0 tokens=3]] Hi"}),
            student.request("DELETE", path),
        )
        assert (asked.status_code, deleted.status_code) in {(200, 409), (404, 200), (409, 200)}
        left = len(await chat.process.messages.newest(session_id, 9))
        assert left == (2 if asked.status_code == 200 else 0)

    def live_streams() -> int:
        with pymongo.MongoClient[dict[str, object]](around.mongo_uri) as client:
            return client.get_default_database()["streams"].count_documents({"live": True})

    async def none_is_live() -> bool:
        return await to_thread(live_streams) == 0

    await eventually(none_is_live)
    assert (await chat.credits_of(student.id))["held"] == 0


async def test_a_session_deleted_between_a_look_at_it_and_the_claim_is_not_answered(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    look = chat.process.streams._turns.look

    async def look_and_delete(wanted: str, user_id: str, *, limit: int) -> Sight | None:
        monkeypatch.undo()
        found = await look(wanted, user_id, limit=limit)
        deleted = await student.request("DELETE", f"/api/chat/sessions/{session_id}")
        assert deleted.status_code == 200
        return found

    monkeypatch.setattr(chat.process.streams._turns, "look", look_and_delete)
    path = f"/api/chat/sessions/{session_id}"
    asked = await student.post(f"{path}/stream", {"message": "[[pace=0 tokens=3]] Hi"})
    assert asked.status_code == 404
    assert await chat.process.messages.newest(session_id, 9) == []
    assert (await chat.credits_of(student.id))["held"] == 0


async def test_what_another_answer_overtook_between_the_look_and_the_claim_is_refused(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    look = chat.process.streams._turns.look

    async def look_and_ask(wanted: str, user_id: str, *, limit: int) -> Sight | None:
        monkeypatch.undo()
        found = await look(wanted, user_id, limit=limit)
        await student.ask(session_id, "[[pace=0 tokens=3]] First")
        return found

    monkeypatch.setattr(chat.process.streams._turns, "look", look_and_ask)
    path = f"/api/chat/sessions/{session_id}/stream"
    asked = await student.post(path, {"message": "[[pace=0 tokens=3]] Second"})
    assert (asked.status_code, asked.json()["code"]) == (409, "session_streams")
    await check_first_alone_remains(chat, student, session_id)


async def test_a_beginning_whose_answer_is_lost_is_taken_back(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] First")
    begin = chat.process.streams._turns.begin
    begun: list[Beginning] = []

    async def begin_unheard(*arguments: Any, **options: Any) -> Beginning:
        monkeypatch.undo()
        begun.append(await begin(*arguments, **options))
        raise UnavailableError("the database")

    monkeypatch.setattr(chat.process.streams._turns, "begin", begin_unheard)
    path = f"/api/chat/sessions/{session_id}/stream"
    asked = await student.post(path, {"message": "[[pace=0 tokens=3]] Second"})
    assert (asked.status_code, begun) == (503, [Beginning.BEGUN])
    await check_first_alone_remains(chat, student, session_id)


async def check_first_alone_remains(chat: Chat, student: Caller, session_id: str) -> None:
    """Of the other attempt nothing does, and the conversation goes on."""
    contents = [one["content"] for one in await student.messages(session_id)]
    assert (len(contents), contents[0]) == (2, "[[pace=0 tokens=3]] First")
    balance = await chat.credits_of(student.id)
    assert (balance["available"], balance["held"]) == (999, 0)
    assert (await student.ask(session_id, "[[pace=0 tokens=3]] Third"))[-1].event == "complete"


async def test_a_conversation_is_in_memory_no_longer_than_until_the_model_answers(
    chat: Chat, around: Surroundings
) -> None:
    student = await chat.student(credits=10_000, tier="pro")
    session_id = await student.new_session()
    await to_thread(lengthen, around.mongo_uri, session_id, 190)
    words = f"000007 {WORDS}"  # of one message, and of no constant
    word = new_id("word")
    async with student.asking(session_id, f"{UNENDING} {word}") as reading:
        await reading.until_seen("chunk")
        assert "Stream" in holders_of(word)  # so it would be found
        assert holders_of(words) == []
        await student.stop(session_id)
        await reading.to_end()


def holders_of(words: str) -> list[str]:
    """The types of what refers to a text with these words; a coroutine does by its variables."""
    gc.collect()  # what nothing refers to is not held
    return [
        type(holder).__name__
        for holder in gc.get_objects()
        # of Python 3.12's asyncio that would revive, and free again, what waits to be used again
        if type(holder) is not ModuleType
        for held in gc.get_referents(holder)
        if (type(held) is str and words in held and held is not words)
        or (type(held) in (bytes, bytearray) and words.encode() in held)
    ]
