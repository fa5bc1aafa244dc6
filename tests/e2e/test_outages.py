"""A server stopped under the running platform, and started again on the same port."""

import asyncio
from contextlib import aclosing

import httpx
import pytest
from e2e_people import People, Person, Shown, eventually

from aula_devstack.platform import Platform

QUICK = httpx.Timeout(15.0)


async def start(student: Person, session_id: str) -> httpx.Response:
    """The answer to an attempt to stream; if it is let in, to its end."""
    return await student.client.post(
        f"/api/chat/sessions/{session_id}/stream",
        json={"message": "Hello? [[tokens=5]]"},
        timeout=QUICK,
    )


async def works_again(student: Person, session_id: str) -> bool:
    """Whether a whole stream goes through."""
    answer = await start(student, session_id)
    assert answer.status_code in {200, 409, 503}, answer.text
    return answer.status_code == 200 and "event: complete" in answer.text


def assert_unavailable(answer: httpx.Response) -> None:
    """A clear refusal that says when to come back."""
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) > 0


async def test_postgresql_away(platform: Platform, people: People) -> None:
    student = await people.student()
    session_id = await student.new_session()
    running = asyncio.create_task(
        student.ask(await student.new_session(), "Go on. [[tokens=100]] [[pace=20]]")
    )
    await eventually(lambda: _holds(student))
    platform.postgres.stop()
    try:
        for _ in range(3):
            assert_unavailable(await start(student, session_id))
        assert_unavailable(await student.client.get("/api/accounting/credits", timeout=QUICK))
        shown = await running
        assert shown.terminal["event"] == "complete"
        assert await student.messages(session_id) == []
    finally:
        platform.postgres.start()

    await eventually(lambda: works_again(student, session_id))
    await eventually(lambda: _settled(student))


async def test_redis_away_while_an_answer_streams(platform: Platform, people: People) -> None:
    student = await people.student()
    session_id = await student.new_session()
    shown, degraded = Shown(), False
    async with aclosing(
        student.asking(session_id, "A long one. [[tokens=200]] [[pace=20]]")
    ) as events:
        async for event in events:
            shown.events.append(event)
            degraded = degraded or event.event == "degraded"
            if sum(e.event == "chunk" for e in shown.events) == 10 and platform.redis.running:
                platform.redis.stop()
            elif sum(e.event == "chunk" for e in shown.events) == 60:
                platform.redis.start()
    assert degraded
    assert shown.terminal["event"] == "complete"
    assert shown.terminal["settlement"] == "settled"
    assert shown.numbers == list(range(1, len(shown.numbers) + 1))
    assert (await student.messages(session_id))[1]["content"] == shown.text

    assert await works_again(student, session_id)


async def test_redis_away_when_an_answer_begins(platform: Platform, people: People) -> None:
    student = await people.student()
    session_id = await student.new_session()
    platform.redis.stop()
    try:
        shown = await student.ask(session_id, "Hello? [[tokens=20]]")
    finally:
        platform.redis.start()

    assert shown.terminal["event"] == "complete"
    assert (await student.messages(session_id))[1]["content"] == shown.text


async def test_mongodb_away(platform: Platform, people: People) -> None:
    student = await people.student()
    session_id = await student.new_session()
    shown = Shown()
    asking = student.asking(await student.new_session(), "Go on and on. [[tokens=150]] [[pace=20]]")
    async with aclosing(asking) as events:
        async for event in events:
            shown.events.append(event)
            if sum(e.event == "chunk" for e in shown.events) == 10 and platform.mongo.running:
                platform.mongo.stop()
                assert_unavailable(
                    await student.client.get(f"/api/chat/sessions/{session_id}", timeout=QUICK)
                )
                assert_unavailable(await start(student, session_id))
                login = {"username": "ada", "password": "whatever it may be"}
                assert_unavailable(
                    await student.client.post("/api/auth/login", json=login, timeout=QUICK)
                )
                platform.mongo.start()
    assert shown.terminal["event"] == "complete"
    assert shown.numbers == list(range(1, len(shown.numbers) + 1))

    await eventually(lambda: works_again(student, session_id))
    await eventually(lambda: _settled(student))


@pytest.mark.parametrize("service", ["auth", "accounting", "monitoring"])
async def test_service_killed_and_back(platform: Platform, people: People, service: str) -> None:
    student = await people.student()
    session_id = await student.new_session()
    process = platform.process(service)
    process.kill()
    try:
        answer = await start(student, session_id)
        # known keys still verify, and a service token is kept half its life
        assert answer.status_code == (503 if service == "accounting" else 200), answer.text
    finally:
        process.start()

    await eventually(lambda: works_again(student, session_id))
    await eventually(lambda: _settled(student))


async def _holds(student: Person) -> bool:
    return bool((await student.credits())["held"] > 0)


async def _settled(student: Person) -> bool:
    answer = await student.client.get("/api/accounting/credits")
    return answer.status_code == httpx.codes.OK and bool(answer.json()["held"] == 0)
