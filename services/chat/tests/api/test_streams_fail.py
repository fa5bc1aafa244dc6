"""Answers that a provider, a balance or a person cut short."""

import math
from asyncio import create_task, gather

from chat_builders import HAIKU, SONNET, UNENDING, Chat, numbers_of, text_of
from waiting import eventually, until


async def test_without_credits_nothing_is_kept_and_the_session_is_free(chat: Chat) -> None:
    student = await chat.student(credits=1)
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    for tail in ("stream", "messages", "stream"):
        answer = await student.post(f"{path}/{tail}", {"message": "[[pace=0 tokens=5]] Hi"})
        assert answer.status_code == 402, answer.text
        assert answer.json()["code"] == "insufficient_credits"
        assert answer.json()["available"] == 1
    assert await student.messages(session_id) == []
    assert (await student.get(path)).json()["metadata"]["activeStreamingSession"] is False
    assert (await student.get(f"{path}/stream")).status_code == 204
    await chat.give(student.id, 1000)
    assert (await student.ask(session_id, "[[pace=0 tokens=5]] Hi"))[-1].event == "complete"


async def test_a_throttled_model_is_replaced_and_the_answering_one_is_paid(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    events = await student.ask(
        session_id, "[[fault=throttled model=anthropic.claude-3-sonnet]] Hi [[pace=0 tokens=900]]"
    )
    assert events[1].json() == {"model": HAIKU, "fallbackApplied": True}
    complete = events[-1].json()
    usage = complete["usage"]
    assert complete["credits"] == math.ceil(
        0.25 * (usage["inputTokens"] + usage["outputTokens"]) / 1000
    )
    metadata = (await student.messages(session_id))[1]["metadata"]
    assert (metadata["requestedModel"], metadata["actualModelUsed"]) == (SONNET, HAIKU)


async def test_no_model_at_all_costs_nothing_and_says_so(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    events = await student.ask(session_id, "[[fault=internal]] Hi")
    assert [event.event for event in events] == ["start", "error"]
    error = events[-1].json()
    assert (error["code"], error["credits"], error["settlement"]) == (
        "PROVIDER_UNAVAILABLE", 0, "settled",
    )  # fmt: skip
    assert (await chat.credits_of(student.id))["available"] == 1000
    events = await student.ask(session_id, "[[clear pace=0 tokens=5]] Again")
    assert events[-1].event == "complete"


FAULTS = ("error@6", "cut@6", "end@6", "stall@6", "bad-crc@6")


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came(impatient_chat: Chat) -> None:
    await gather(*(breaks_off(impatient_chat, fault) for fault in FAULTS))


async def breaks_off(chat: Chat, fault: str) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    events = await student.ask(session_id, f"Explain rain. [[pace=0 tokens=30 {fault}]]")
    assert (events[-1].event, events[-1].json()["code"]) == ("error", "STREAM_ERROR")
    assert numbers_of(events) == list(range(1, len(events) + 1))
    answer = (await student.messages(session_id))[1]
    assert answer["content"] == text_of(events) != ""
    assert answer["status"] == "interrupted"
    reservation = await chat.reservation(events[0].json()["streamingSessionId"])
    assert reservation["status"] == "aborted"
    charged = events[-1].json()["credits"]
    assert 0 < charged <= 10
    balance = await chat.credits_of(student.id)
    assert (balance["available"], balance["held"]) == (1000 - charged, 0)
    assert (await student.ask(session_id, "[[clear pace=0 tokens=3]] On"))[-1].event == "complete"


async def test_an_answer_that_takes_too_long_is_cut(impatient_chat: Chat) -> None:
    student = await impatient_chat.student()
    session_id = await student.new_session()
    events = await student.ask(session_id, "[[pace=100 tokens=500]] Slowly")
    assert events[-1].json()["code"] == "STREAM_TIMEOUT"
    assert (await student.messages(session_id))[1]["content"] == text_of(events)


USAGES: tuple[tuple[str, dict[str, int] | None, int], ...] = (
    # without usage: the prompt's bytes / 3 and the text's
    ("no-usage", None, 3),
    ("zero-usage", {"inputTokens": 0, "outputTokens": 0}, 0),
    ("usage-absurd", None, 3),
    ("usage=10:9223372036854775808", {"inputTokens": 10, "outputTokens": 10_000_000}, 9),
    ("usage-twice", {"inputTokens": 18, "outputTokens": 400}, 2),
)


async def test_usage_that_is_missing_zero_repeated_or_absurd(chat: Chat) -> None:
    await gather(*(is_charged(chat, *case) for case in USAGES))


async def is_charged(chat: Chat, directive: str, usage: dict[str, int] | None, charge: int) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    events = await student.ask(session_id, f"Rain. [[pace=0 tokens=400 {directive}]]")
    complete = events[-1].json()
    if usage is None:
        text = text_of(events)
        output = math.ceil(len(text.encode()) / 3)
        prompt = math.ceil(len(f"Rain. [[pace=0 tokens=400 {directive}]]") / 3)
        assert complete["usage"] == {"inputTokens": prompt, "outputTokens": output}
        assert complete["credits"] == math.ceil(3 * (prompt + output) / 1000)
    else:
        assert complete["usage"]["outputTokens"] == usage["outputTokens"]
        assert complete["credits"] == charge
    assert (await chat.credits_of(student.id))["available"] == 1000 - complete["credits"]


async def test_what_goes_beyond_the_hold_is_never_charged(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    # one token for each byte where the estimate counts three bytes
    question = "!a" * 4900 + " [[pace=0 tokens=2000]]"
    events = await student.ask(session_id, question)
    reservation = await chat.reservation(events[0].json()["streamingSessionId"])
    charged = events[-1].json()["credits"]
    assert charged == reservation["allocatedCredits"]
    assert (await chat.credits_of(student.id))["available"] == 1000 - charged


async def test_a_hostile_answer_stays_what_it_is(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    hostile = "x\r\n\r\ndata: {}\r\n\r\nevent: complete\ndata: 1\n\n\r \u2028 \u2029 \x85 id: 9"
    events = await student.ask(session_id, f"[[echo pace=0]] {hostile}")
    kinds = {event.event for event in events} - {"degraded"}  # as told where Redis is slow
    assert kinds == {"start", "model", "chunk", "complete"}
    assert text_of(events).strip() == hostile.strip()
    assert (await student.messages(session_id))[1]["content"] == text_of(events)


async def test_stop_keeps_and_charges_what_was_made(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk", 3)
        stopped = await student.post(f"{path}/stop")
        assert stopped.status_code == 200
        events = await reading.to_end()
    complete = events[-1].json()
    assert (complete["status"], complete["settlement"]) == ("stopped", "settled")
    assert complete["streamingSessionId"] == stopped.json()["streamingSessionId"]
    answer = (await student.messages(session_id))[1]
    assert (answer["status"], answer["content"]) == ("stopped", text_of(events))
    assert 0 < complete["credits"] <= 3
    assert (await student.post(f"{path}/stop")).status_code == 409
    assert (await chat.credits_of(student.id))["held"] == 0


async def test_a_session_that_answers_refuses_everything_else(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}"
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until_seen("chunk")
        question = (await student.messages(session_id))[0]["id"]
        for method, tail, body in (
            ("POST", "/stream", {"message": "x"}),
            ("POST", "/messages", {"message": "x"}),
            ("PATCH", "", {"title": "x"}),
            ("DELETE", "", None),
            ("DELETE", f"/messages/{question}", None),
        ):
            answer = await student.request(method, path + tail, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "session_streams")
        shown = (await student.get(path)).json()["metadata"]
        assert shown["activeStreamingSession"] is True
        await student.stop(session_id)
        await reading.to_end()
    assert len(await student.messages(session_id)) == 2
    assert (await student.request("DELETE", path)).status_code == 200


async def test_a_client_that_leaves_changes_nothing(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    async with student.asking(session_id, "[[pace=2 tokens=60]] Go") as reading:
        await reading.until_seen("chunk")

    async def answered() -> bool:
        return len(await student.messages(session_id)) == 2

    await eventually(answered)
    answer = (await student.messages(session_id))[1]
    assert (answer["status"], answer["metadata"]["usage"]["outputTokens"]) == ("complete", 60)


async def test_of_many_messages_at_once_one_is_answered(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/messages"
    tasks = [create_task(student.post(path, {"message": UNENDING})) for _ in range(8)]
    await until(lambda: sum(task.done() for task in tasks) >= 7)
    await student.stop(session_id)
    answers = await gather(*tasks)
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    assert len(await student.messages(session_id)) == 2
    assert (await chat.credits_of(student.id))["held"] == 0


async def test_a_whole_answer_in_one_reply(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/messages"
    answer = (await student.post(path, {"message": "[[pace=0 tokens=7]] Hi"})).json()
    assert answer["usage"]["outputTokens"] == 7
    assert answer["credits"] == 1
    assert answer["message"] == (await student.messages(session_id))[1]
    failed = await student.post(path, {"message": "[[fault=internal]] Hi"})
    assert (failed.status_code, failed.json()["streamCode"]) == (503, "PROVIDER_UNAVAILABLE")
