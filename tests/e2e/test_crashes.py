"""What survives when a process dies or a client leaves."""

from contextlib import aclosing

import httpx
from e2e_people import People, Person, Shown, collect, eventually

from aula_devstack.platform import Platform

LONG = "Tell me a long story. [[tokens=200]] [[pace=25]]"


async def read_until(student: Person, session_id: str, chunks: int) -> Shown:
    """What is shown up to so many chunks; then the client hangs up."""
    shown = Shown()
    async with aclosing(student.asking(session_id, LONG)) as events:
        async for event in events:
            shown.events.append(event)
            if sum(e.event == "chunk" for e in shown.events) == chunks:
                break
    return shown


async def stored_answer(student: Person, session_id: str) -> dict[str, object] | None:
    """The assistant's message, once it is stored and nothing runs."""
    session = await student.call("GET", f"/api/chat/sessions/{session_id}", 200)
    if session["metadata"]["activeStreamingSession"] or len(session["messages"]) < 2:
        return None
    return dict(session["messages"][1])


async def test_killed_chat_loses_nothing_that_was_shown(platform: Platform, people: People) -> None:
    student = await people.student(granted=50)
    session_id = await student.new_session()
    before = await student.credits()
    shown = Shown()
    hold = 0
    try:
        async with aclosing(student.asking(session_id, LONG)) as events:
            async for event in events:
                shown.events.append(event)
                if sum(e.event == "chunk" for e in shown.events) == 30 and not hold:
                    hold = (await student.credits())["held"]
                    platform.chat.kill()
    except httpx.HTTPError:
        pass  # the connection died with the process
    assert hold > 0
    assert not any(e.event in {"complete", "error"} for e in shown.events)
    platform.chat.start()

    answer = await eventually(lambda: stored_answer(student, session_id))

    assert shown.text
    assert answer["content"].startswith(shown.text)
    assert answer["status"] == "interrupted"
    charge = answer["metadata"]["credits"]
    assert 0 < charge <= hold
    after = await student.credits()
    assert after["held"] == 0
    assert after["available"] == before["available"] - charge

    following = await student.ask(session_id, "And then? [[tokens=10]]")
    assert following.terminal["event"] == "complete"


async def test_resuming_after_a_crash_ends_with_the_interruption(
    platform: Platform, people: People
) -> None:
    student = await people.student(granted=50)
    session_id = await student.new_session()
    shown = await read_until(student, session_id, 20)
    platform.chat.kill()
    platform.chat.start()
    await eventually(lambda: stored_answer(student, session_id))

    path = f"/api/chat/sessions/{session_id}/stream"
    rest = await collect(student.events("GET", path, headers={"Last-Event-ID": shown.last_id}))

    whole = Shown([*shown.events, *rest.events])
    assert whole.numbers == list(range(1, len(whole.numbers) + 1))
    assert whole.terminal["code"] == "STREAM_INTERRUPTED"
    answer = await stored_answer(student, session_id)
    assert answer is not None
    assert answer["content"] == whole.text


async def test_client_that_leaves_changes_nothing(platform: Platform, people: People) -> None:
    student = await people.student(granted=50)
    session_id = await student.new_session()
    before = await student.credits()
    shown = await read_until(student, session_id, 5)

    answer = await eventually(lambda: stored_answer(student, session_id))

    assert answer["status"] == "complete"
    assert answer["content"].startswith(shown.text)
    assert len(answer["content"]) > len(shown.text)
    after = await student.credits()
    assert after["held"] == 0
    assert after["available"] == before["available"] - answer["metadata"]["credits"]


async def test_coming_back_gives_exactly_the_rest_at_either_process(
    platform: Platform, people: People
) -> None:
    student = await people.student(granted=50)
    second = platform.add_replica("chat")
    session_id = await student.new_session()
    shown = await read_until(student, session_id, 25)
    path = f"/api/chat/sessions/{session_id}/stream"
    for base_url in (second.url, platform.url):
        headers = {"Last-Event-ID": shown.last_id}
        rest = await collect(student.events("GET", path, base_url=base_url, headers=headers))
        whole = Shown([*shown.events, *rest.events])
        assert whole.numbers == list(range(1, len(whole.numbers) + 1))
        assert whole.terminal["event"] == "complete"
        answer = await stored_answer(student, session_id)
        assert answer is not None
        assert answer["content"] == whole.text
    second.stop()


async def test_stop_reaches_the_process_that_writes(platform: Platform, people: People) -> None:
    student = await people.student(granted=50)
    second = platform.add_replica("chat")
    session_id = await student.new_session()
    shown = await read_until(student, session_id, 5)

    stopped = await student.call("POST", f"{second.url}/api/chat/sessions/{session_id}/stop", 200)
    answer = await eventually(lambda: stored_answer(student, session_id))

    assert shown.last_id.startswith(stopped["streamingSessionId"])
    assert answer["status"] == "stopped"
    assert answer["content"].startswith(shown.text)
    assert (await student.credits())["held"] == 0
    second.stop()
