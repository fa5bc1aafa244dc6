"""The main job: an answer streams, a supervisor watches it, its credits settle exactly."""

import asyncio
from contextlib import aclosing

from e2e_people import People, Person, Shown, collect, eventually

from aula_devstack.platform import Platform


async def observe(supervisor: Person, student: Person, session_id: str) -> Shown:
    """All that the supervisor is shown of a running stream."""
    path = f"/api/monitoring/students/{student.id}/sessions/{session_id}/observe"
    return await collect(supervisor.events("GET", path))


async def test_student_supervisor_and_store_have_the_same_text(
    platform: Platform, people: People
) -> None:
    student, supervisor = await people.student(granted=50), await people.supervisor()
    await people.relate(supervisor, student)
    session_id = await student.new_session()
    before = await student.credits()
    shown, watching = Shown(), None

    async with aclosing(
        student.asking(session_id, "Why is the sky blue? [[tokens=200]] [[pace=20]]")
    ) as events:
        async for event in events:
            shown.events.append(event)
            if event.event == "model":
                held = await student.credits()
                streams = await supervisor.call(
                    "GET", f"/api/monitoring/students/{student.id}/streams", 200
                )
                watching = asyncio.create_task(observe(supervisor, student, session_id))
    assert watching is not None
    watched = await watching

    end = shown.terminal
    assert end["event"] == "complete"
    assert end["settlement"] == "settled"
    assert shown.numbers == list(range(1, len(shown.numbers) + 1))
    assert len(shown.text) > 100
    assert watched.text == shown.text
    assert [(e.id, e.event, e.data) for e in watched.numbered] == [
        (e.id, e.event, e.data) for e in shown.numbered
    ]
    question, answer = await student.messages(session_id)
    assert question["role"] == "user"
    assert answer["content"] == shown.text
    assert answer["status"] == "complete"
    assert answer["metadata"]["credits"] == end["credits"]

    assert [stream["sessionId"] for stream in streams["streams"]] == [session_id]
    assert held["held"] > 0
    assert held["available"] == before["available"] - held["held"]
    after = await student.credits()
    assert after["available"] == before["available"] - end["credits"]
    assert after["held"] == 0
    assert end["credits"] >= 1


async def test_observer_sees_history_before_the_running_answer(
    platform: Platform, people: People
) -> None:
    student, supervisor = await people.student(), await people.supervisor()
    await people.relate(supervisor, student)
    session_id = await student.new_session()
    first = await student.ask(session_id, "Count to three. [[tokens=10]]")
    second = asyncio.create_task(student.ask(session_id, "And to four? [[tokens=150]] [[pace=20]]"))

    async def running() -> bool:
        path = f"/api/monitoring/students/{student.id}/streams"
        return bool((await supervisor.call("GET", path, 200))["streams"])

    await eventually(running)
    watched = await observe(supervisor, student, session_id)

    history = [e.json() for e in watched.events if e.event == "history"]
    assert [entry["role"] for entry in history] == ["user", "assistant", "user"]
    assert history[1]["content"] == first.text
    assert watched.text == (await second).text


async def test_every_observation_is_in_the_audit_of_the_observed(
    platform: Platform, people: People
) -> None:
    student, supervisor = await people.student(), await people.supervisor()
    await people.relate(supervisor, student)
    session_id = await student.new_session()
    asking = asyncio.create_task(student.ask(session_id, "Hello? [[tokens=150]] [[pace=20]]"))

    async def watched() -> bool:
        path = f"/api/monitoring/students/{student.id}/sessions/{session_id}/observe"
        return (await supervisor.client.get(path)).status_code == 200

    await eventually(watched)
    await asking
    audit = await student.call("GET", "/api/monitoring/audit", 200)

    assert supervisor.id in {row["observerId"] for row in audit["entries"]}
    assert session_id in {row["sessionId"] for row in audit["entries"]}


async def test_supervisor_reads_past_conversations(platform: Platform, people: People) -> None:
    student, supervisor = await people.student(), await people.supervisor()
    await people.relate(supervisor, student)
    session_id = await student.new_session()
    shown = await student.ask(session_id, "What is a prime? [[tokens=20]]")

    base = f"/api/monitoring/students/{student.id}/sessions"
    listed = await supervisor.call("GET", base, 200)
    past = await supervisor.call("GET", f"{base}/{session_id}", 200)

    assert [session["sessionId"] for session in listed["sessions"]] == [session_id]
    assert past["messages"][1]["content"] == shown.text


async def test_short_answer_by_one_request(platform: Platform, people: People) -> None:
    student = await people.student()
    session_id = await student.new_session()

    answered = await student.call(
        "POST",
        f"/api/chat/sessions/{session_id}/messages",
        200,
        json={"message": "What is 2 + 2? [[tokens=10]]"},
    )

    _, stored = await student.messages(session_id)
    assert answered["message"]["content"] == stored["content"] != ""
    assert answered["credits"] == stored["metadata"]["credits"]
    assert (await student.credits())["held"] == 0
