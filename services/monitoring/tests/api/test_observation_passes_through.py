"""What an observer sees, and what is on record before they see it."""

from monitoring_far_side import Call
from monitoring_platform import SESSION, STUDENT, SUPERVISOR, Platform, until

OBSERVE = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe"


async def test_bytes_and_ids_arrive_unchanged_and_the_stream_ends_with_its_last_event(
    platform: Platform,
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing() as observer:
        await observer.read_until(b"event: history-end")
        first = await conversation.add("str_1.1", "chunk", text="blue\r\n\ndata: light\u2028")
        await observer.read_until(first)
        last = await conversation.add("str_1.2", "complete", status="complete")
        received = await observer.read_all()
    assert received.endswith(first + last)
    assert received.startswith(b'event: observer\ndata: {"message":"observing"')
    assert received.count(b"event: history\n") == 2
    assert (await platform.ended_audit())[0]["reason"] == "finished"


async def test_the_answer_is_an_event_stream_that_nobody_may_buffer_or_keep(
    platform: Platform,
) -> None:
    await platform.relate()
    async with platform.observing() as observer:
        headers = observer.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-cache, no-store"
    assert headers["X-Accel-Buffering"] == "no"


async def test_chat_is_asked_by_service_token_for_the_supervisor_and_told_the_audit_s_id(
    platform: Platform,
) -> None:
    await platform.relate()
    async with platform.observing(f"{OBSERVE}?follow=true") as observer:
        await observer.read_until(b"history-end")
    [call] = platform.far.calls_to("/observe")
    [entry] = await platform.audit(kind="observe")
    assert call.headers["x-on-behalf-of"] == SUPERVISOR
    assert call.query == {"follow": "true", "observationId": entry["_id"]}
    assert entry["_id"].startswith("obs_")
    assert platform.tokens[SUPERVISOR] not in call.headers["authorization"]


async def test_the_audit_entry_is_stored_before_chat_is_asked_for_content(
    platform: Platform,
) -> None:
    await platform.relate()
    at_the_time: list[tuple[str, int]] = []

    async def look(call: Call) -> None:
        at_the_time.append((call.path, len(await platform.audit())))

    platform.far.before_content = look
    async with platform.observing() as observer:
        await observer.read_until(b"history-end")
    await platform.ask("GET", f"/api/monitoring/students/{STUDENT}/sessions", by=SUPERVISOR)
    await platform.ask(
        "GET", f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}", by=SUPERVISOR
    )
    assert [count for _, count in at_the_time] == [1, 2, 3]
    entries = await platform.audit()
    assert [entry["kind"] for entry in entries] == ["observe", "read", "read"]
    assert all(entry["student_id"] == STUDENT for entry in entries)
    assert all(entry["observer_id"] == SUPERVISOR for entry in entries)
    assert [entry["session_id"] for entry in entries] == [SESSION, None, SESSION]


async def test_the_last_event_id_is_passed_on_and_only_the_rest_arrives(
    platform: Platform,
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    for number in range(1, 4):
        await conversation.add(f"str_1.{number}", "chunk", text=str(number))
    await conversation.add("str_1.4", "complete", status="complete")
    async with platform.observing(Last_Event_ID="str_1.2") as observer:
        received = await observer.read_all()
    assert platform.far.calls_to("/observe")[0].headers["last-event-id"] == "str_1.2"
    assert observer.ids == ["str_1.3", "str_1.4"]
    assert b"history" not in received


async def test_a_broken_last_event_id_is_refused_before_anything_is_asked(
    platform: Platform,
) -> None:
    await platform.relate()
    for broken in ("nonsense", "str_1.-1", "../x.1", "str_1." + "9" * 30):
        answer = await platform.ask("GET", OBSERVE, by=SUPERVISOR, Last_Event_ID=broken)
        assert answer.status == 400
        assert answer.body["code"] == "malformed_request"
    assert platform.far.calls_to("/observe") == []


async def test_nothing_running_is_404_and_its_entry_says_that_nothing_was_shown(
    platform: Platform,
) -> None:
    await platform.relate()
    platform.far.refuse_observing = 404
    answer = await platform.ask("GET", OBSERVE, by=SUPERVISOR)
    assert answer.status == 404
    assert (await platform.ended_audit())[0]["reason"] == "not_shown"


async def test_an_observer_who_leaves_is_gone_at_chat_and_in_the_audit(
    platform: Platform,
) -> None:
    await platform.relate()
    async with platform.observing(f"{OBSERVE}?follow=true") as observer:
        await observer.read_until(b"history-end")
        assert platform.far.observing == 1
    await until(platform.far.left.is_set)
    await until(lambda: platform.far.observing == 0)
    [entry] = await platform.ended_audit()
    assert entry["reason"] == "left"
    assert entry["ended_at"] >= entry["at"]


async def test_observations_of_one_process_are_renewed_in_one_call(platform: Platform) -> None:
    await platform.relate()
    path = f"{OBSERVE}?follow=true"
    async with platform.observing(path) as one, platform.observing(path) as two:
        await one.read_until(b"history-end")
        await two.read_until(b"history-end")
        ids = {call.query["observationId"] for call in platform.far.calls_to("/observe")}
        await until(
            lambda: any(
                set(call.body["observationIds"]) == ids for call in platform.far.calls_to("/renew")
            )
        )
    assert len(ids) == 2
    assert len(await platform.ended_audit(count=2)) == 2
    quiet_since = len(platform.far.calls)

    def polled() -> int:
        return sum("/revocations" in call.path for call in platform.far.calls[quiet_since:])

    await until(lambda: polled() >= 4)
    assert not any("/renew" in call.path for call in platform.far.calls[quiet_since:])


async def test_an_observer_can_neither_stop_nor_post(platform: Platform) -> None:
    await platform.relate()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (OBSERVE, f"/api/chat/sessions/{SESSION}/observe"):
            answer = await platform.ask(method, path, by=SUPERVISOR)
            assert answer.status == 405, (method, path)
    assert platform.far.calls_to(SESSION) == []
