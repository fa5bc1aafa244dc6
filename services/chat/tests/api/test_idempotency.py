"""The same key: the same answer, once."""

from asyncio import Event, create_task, gather
from typing import Any

import pytest
from chat_builders import UNENDING, Chat, Surroundings, run_chat
from waiting import eventually, until

from aula_chat.domain.streams import Stream
from aula_devstack.servers.service import Service

KEY = {"Idempotency-Key": "key-1"}


async def test_a_replay_follows_the_same_stream_and_another_body_is_refused(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    message = "[[pace=10 tokens=20]] Hi"
    first, second = await gather(*(student.ask(session_id, message, headers=KEY) for _ in range(2)))
    assert [event.id for event in first] == [event.id for event in second]
    again = await student.ask(session_id, message, headers=KEY)
    assert [event.id for event in again] == [event.id for event in first]
    whole = (await student.post(f"{path}/messages", {"message": message}, headers=KEY)).json()
    assert whole["message"]["id"] == first[-1].json()["messageId"]
    assert len(await student.messages(session_id)) == 2
    other = await student.post(f"{path}/stream", {"message": "Other"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    elsewhere = await student.new_session()
    other = await student.post(
        f"/api/chat/sessions/{elsewhere}/stream", {"message": message}, headers=KEY
    )
    assert other.status_code == 409


async def test_the_same_key_of_two_people_are_two_keys(chat: Chat) -> None:
    one, other = await chat.student(), await chat.student()
    for student in (one, other):
        session_id = await student.new_session()
        events = await student.ask(session_id, "[[pace=0 tokens=3]] Hi", headers=KEY)
        assert events[-1].event == "complete"


async def test_a_refused_attempt_leaves_its_key_free(chat: Chat) -> None:
    student = await chat.student(credits=1)
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/stream"
    body = {"message": "[[pace=0 tokens=3]] Hi"}
    assert (await student.post(path, body, headers=KEY)).status_code == 402
    await chat.give(student.id, 1000)
    events = await student.ask(session_id, body["message"], headers=KEY)
    assert events[-1].event == "complete"


async def test_a_repetition_while_the_first_is_not_yet_granted_is_told_what_that_is(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, granted = Event(), Event()
    accounts = chat.process.streams._accounts
    reserve = accounts.reserve

    async def reserve_later(*arguments: Any) -> int:
        asked.set()
        await granted.wait()
        return await reserve(*arguments)

    streams = chat.process.streams._streams
    claim, claims = streams.claim, list[Stream | None]()

    async def claim_and_tell(*arguments: Any, **options: Any) -> Stream | None:
        claims.append(await claim(*arguments, **options))
        return claims[-1]

    monkeypatch.setattr(accounts, "reserve", reserve_later)
    monkeypatch.setattr(streams, "claim", claim_and_tell)
    for given, status in ((1, 402), (1000, 200)):
        student = await chat.student(given)
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}/messages"
        body = {"message": "[[pace=0 tokens=3]] Hi"}
        claims.clear()
        asked.clear()
        granted.clear()
        first = create_task(student.post(path, body, headers=KEY))
        await asked.wait()
        second = create_task(student.post(path, body, headers=KEY))
        await until(lambda: len(claims) >= 2)  # the first's stands in the way
        granted.set()
        answers = await gather(first, second)
        assert [answer.status_code for answer in answers] == [status] * 2
        assert answers[0].json().get("message") == answers[1].json().get("message")


async def test_a_key_whose_answer_was_deleted_or_never_came_says_so(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/messages"
    body = {"message": "[[pace=0 tokens=3]] Hi"}
    said = (await student.post(path, body, headers=KEY)).json()["message"]
    assert (await student.request("DELETE", f"{path}/{said['id']}")).status_code == 204
    assert (await student.post(path, body, headers=KEY)).status_code == 404

    body, key = {"message": "[[fault=internal]] Hi"}, {"Idempotency-Key": "key-2"}
    for headers in (key, key, {}):
        answer = await student.post(path, body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "stream_interrupted")
        told = "another Idempotency-Key" in answer.json()["detail"]
        assert told is (headers == key)


async def test_with_accounting_away_nothing_begins_and_the_key_serves_again_later(
    around: Surroundings, accounting: Service
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}"
        body = {"message": "[[pace=0 tokens=3]] Hi"}
        accounting.stop()
        try:
            answer = await student.post(f"{path}/stream", body, headers=KEY)
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
        finally:
            accounting.start()
        assert await student.messages(session_id) == []
        shown = (await student.get(path)).json()["metadata"]
        assert shown["activeStreamingSession"] is False

        async def begins() -> bool:
            # the breaker lets calls through again after a while
            answer = await student.post(f"{path}/messages", body, headers=KEY)
            assert answer.status_code in {200, 503}, answer.text
            return answer.status_code == 200

        await eventually(begins)
        assert len(await student.messages(session_id)) == 2
        assert (await chat.credits_of(student.id))["held"] == 0


async def test_with_accounting_away_at_the_end_the_settlement_follows(
    around: Surroundings, accounting: Service
) -> None:
    async with run_chat(around) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            accounting.stop()
            try:
                await student.stop(session_id)
                complete = (await reading.to_end())[-1].json()
            finally:
                accounting.start()
        assert (complete["settlement"], complete["credits"]) == ("pending", None)
        assert len(await student.messages(session_id)) == 2

        async def settled() -> bool:
            metadata = (await student.messages(session_id))[1]["metadata"]
            return "credits" in metadata

        await eventually(settled)
        charged = (await student.messages(session_id))[1]["metadata"]["credits"]
        balance = await chat.credits_of(student.id)
        assert (balance["available"], balance["held"]) == (1000 - charged, 0)
