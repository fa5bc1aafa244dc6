"""chat restarts, breaks, drains, stays away: what the observer then gets."""

import time

import pytest
from monitoring_platform import SESSION, STUDENT, SUPERVISOR, Platform, running_platform, until

OBSERVE = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe"
FOLLOW = f"{OBSERVE}?follow=true"


async def test_a_broken_connection_is_resumed_without_gap_or_repeat(platform: Platform) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing() as observer:
        for number in range(1, 31):
            frame = await conversation.add(f"str_1.{number}", "chunk", text=str(number))
            await observer.read_until(frame)
            if number % 10 == 0:
                await platform.far.cut()
        await conversation.add("str_1.31", "complete", status="complete")
        received = await observer.read_all()
    assert observer.ids == [f"str_1.{number}" for number in range(1, 32)]
    assert received.count(b"event: history\n") == 2
    assert received.count(b"event: observer\n") == 1
    resumed = [call.headers.get("last-event-id") for call in platform.far.calls_to("/observe")]
    assert resumed == [None, "str_1.10", "str_1.20", "str_1.30"]
    assert len({call.query["observationId"] for call in platform.far.calls_to("/observe")}) == 1
    assert len(await platform.audit(kind="observe")) == 1


async def test_a_restart_of_chat_is_not_noticed_but_by_comments(platform: Platform) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(await conversation.add("str_1.1", "chunk", text="before"))
        await platform.far_server.stop()
        await conversation.add("str_1.2", "chunk", text="meanwhile")
        await observer.read_until(b": \n\n")
        await platform.far_server.start()
        await observer.read_until(b"meanwhile")
        await observer.read_until(await conversation.add("str_1.3", "chunk", text="after"))
    assert observer.ids == ["str_1.1", "str_1.2", "str_1.3"]


async def test_a_loss_before_the_first_event_does_not_repeat_the_history(
    platform: Platform,
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        await platform.far.cut()
        await until(lambda: len(platform.far.calls_to("/observe")) == 2)
        conversation.history.append(("user", "and at night"))
        await platform.far.cut()
        received = await observer.read_until(b"and at night")
        received = await observer.read_until(await conversation.add("str_1.1", "start"))
    assert received.count(b"event: history\n") == 3
    assert received.count(b"event: history-start\n") == 1
    assert received.count(b"event: observer\n") == 1


@pytest.mark.parametrize(
    ("event", "reason"), [("reconnect", "drain"), ("reconnect", "gone"), ("ended", "not_renewed")]
)
async def test_chat_s_own_trouble_is_overcome_without_telling(
    platform: Platform, event: str, reason: str
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(await conversation.add("str_1.1", "chunk", text="a"))
        await platform.far.tell(SESSION, event, reason=reason)
        await until(lambda: len(platform.far.calls_to("/observe")) == 2)
        received = await observer.read_until(await conversation.add("str_1.2", "chunk", text="b"))
    assert f"event: {event}".encode() not in received
    assert observer.ids == ["str_1.1", "str_1.2"]


async def test_an_answer_that_chat_ends_in_due_form_is_not_asked_for_again(
    platform: Platform,
) -> None:
    await platform.relate()
    async with platform.observing() as observer:
        await observer.read_until(b"history-end")
        await platform.far.tell(SESSION, "observers", count=0)
        received = await observer.read_all()
    assert received.endswith(b'event: observers\ndata: {"count":0}\n\n')
    assert len(platform.far.calls_to("/observe")) == 1


async def test_chat_s_own_end_is_passed_on_and_is_the_end(platform: Platform) -> None:
    await platform.relate()
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        await platform.far.tell(SESSION, "ended", reason="deleted")
        received = await observer.read_all()
    assert received.endswith(b'event: ended\ndata: {"reason":"deleted"}\n\n')
    assert len(platform.far.calls_to("/observe")) == 1


async def test_a_conversation_that_is_gone_after_the_loss_ends_the_observation(
    platform: Platform,
) -> None:
    await platform.relate()
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        platform.far.refuse_observing = 404
        await platform.far.cut()
        received = await observer.read_all()
    assert received.endswith(b'event: ended\ndata: {"reason":"gone"}\n\n')


async def test_a_chat_that_stays_away_is_given_up_and_the_observer_told_to_come_back(
    mongo_database: str,
) -> None:
    async with running_platform(mongo_database, observation_resume_seconds=1) as platform:
        await platform.relate()
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
            await platform.far_server.stop()
            received = await observer.read_all()
            await platform.far_server.start()
        assert received.endswith(
            b'event: reconnect\ndata: {"reason":"unavailable","retryAfterMs":5000}\n\n'
        )
        [entry] = await platform.ended_audit()
        assert entry["reason"] == "unavailable"


async def test_a_silent_chat_counts_as_lost(mongo_database: str) -> None:
    async with running_platform(mongo_database, observation_idle_seconds=0.3) as platform:
        await platform.relate()
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
            await until(lambda: len(platform.far.calls_to("/observe")) >= 2)
            conversation = platform.far.conversations[SESSION]
            await observer.read_until(await conversation.add("str_1.1", "start"))
        assert observer.received.count(b"event: history-end") == 1


async def test_a_chat_that_is_away_from_the_start_is_503_naming_it(platform: Platform) -> None:
    await platform.relate()
    for away in ("chat", "accounting", "auth"):
        platform.far.away = {away}
        path = {
            "chat": OBSERVE,
            "accounting": f"/api/monitoring/students/{STUDENT}/streams",
            "auth": "/api/monitoring/students",
        }[away]
        started = time.monotonic()
        answer = await platform.ask("GET", path, by=SUPERVISOR)
        assert answer.status == 503
        assert away in answer.body["detail"]
        assert "Retry-After" in answer.headers
        assert time.monotonic() - started < 6
