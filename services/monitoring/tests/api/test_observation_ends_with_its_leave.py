"""Nobody goes on watching who no longer may."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from monitoring_platform import (
    ADMIN,
    OTHER,
    OTHER_SESSION,
    SESSION,
    STUDENT,
    SUPERVISOR,
    Observer,
    Platform,
    running_platform,
    until,
)

from aula_common.ids import new_id
from aula_common.security.principal import Role
from aula_devstack.servers.mongo import Mongo

FOLLOW = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe?follow=true"
CUT_WITHIN = 5.0


async def _cut(platform: Platform, observer: Observer, *, last: bytes, reason: str) -> None:
    started = time.monotonic()
    received = await observer.read_all()
    assert time.monotonic() - started < CUT_WITHIN
    assert received.endswith(last)
    await until(lambda: platform.far.observing == 0)
    assert [entry["reason"] for entry in await platform.ended_audit()] == [reason]


def _ended(reason: str) -> bytes:
    return f'event: ended\ndata: {{"reason":"{reason}"}}\n\n'.encode()


@pytest.mark.parametrize(
    ("method", "body", "reason"),
    [
        ("DELETE", None, "relationship_ended"),
        ("PATCH", {"status": "ended"}, "relationship_ended"),
        ("PATCH", {"mode": "summary"}, "mode_changed"),
        ("PATCH", {"mode": "off"}, "mode_changed"),
        ("PATCH", {"from": "2190-01-01T00:00:00Z"}, "relationship_ended"),
    ],
)
async def test_a_change_through_this_process_cuts_the_observer_at_once(
    mongo_database: str, method: str, body: dict[str, str] | None, reason: str
) -> None:
    # a period so long that only the wake by the change itself can be what cuts
    slow = {"observation_check_seconds": 2, "observation_verify_seconds": 3}
    async with running_platform(mongo_database, **slow) as platform:
        relationship = await platform.relate()
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
            answer = await platform.ask(
                method, f"/api/monitoring/relationships/{relationship}", by=ADMIN, json=body
            )
            assert answer.status in {200, 204}
            started = time.monotonic()
            await _cut(platform, observer, last=_ended(reason), reason=reason)
            assert time.monotonic() - started < 1


async def test_an_end_written_by_another_process_cuts_the_observer(platform: Platform) -> None:
    relationship = await platform.relate()
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        await platform.database["relationships"].update_one(
            {"_id": relationship}, {"$set": {"status": "ended"}}
        )
        await _cut(
            platform, observer, last=_ended("relationship_ended"), reason="relationship_ended"
        )


async def test_the_time_of_the_relationship_cuts_the_observer(platform: Platform) -> None:
    until_then = datetime.now(UTC) + timedelta(seconds=1.5)
    await platform.relate(until=until_then.isoformat())
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        await _cut(
            platform, observer, last=_ended("relationship_ended"), reason="relationship_ended"
        )
    assert datetime.now(UTC) >= until_then


async def test_nothing_flows_after_the_end(platform: Platform) -> None:
    relationship = await platform.relate()
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        await platform.ask("DELETE", f"/api/monitoring/relationships/{relationship}", by=ADMIN)
        await until(lambda: platform.far.observing == 0)
        await platform.far.conversations[SESSION].add("str_1.1", "chunk", text="secret")
        assert b"secret" not in await observer.read_all()


async def test_the_token_s_expiry_cuts_the_observer(platform: Platform) -> None:
    await platform.relate()
    expires = int((datetime.now(UTC) + timedelta(seconds=2)).timestamp())
    token = platform.far.mint.user(SUPERVISOR, role=Role.SUPERVISOR, exp=expires)
    async with platform.observing(FOLLOW, by=token) as observer:
        await observer.read_until(b"history-end")
        await _cut(platform, observer, last=_ended("token_expired"), reason="token_expired")


async def test_a_sign_out_cuts_the_observer(platform: Platform) -> None:
    await platform.relate()
    family = new_id("fam")
    token = platform.far.mint.user(SUPERVISOR, role=Role.SUPERVISOR, sid=family)
    async with platform.observing(FOLLOW, by=token) as observer:
        await observer.read_until(b"history-end")
        now = datetime.now(UTC)
        platform.far.revocations = [
            {
                "kind": "family",
                "id": family,
                "at": now.isoformat(),
                "expiresAt": (now + timedelta(hours=1)).isoformat(),
            }
        ]
        await _cut(platform, observer, last=_ended("signed_out"), reason="signed_out")


async def test_only_the_observation_whose_relationship_ended_is_cut(platform: Platform) -> None:
    ended, _kept = await platform.relate(), await platform.relate(student=OTHER)
    other = f"/api/monitoring/students/{OTHER}/sessions/{OTHER_SESSION}/observe?follow=true"
    async with platform.observing(FOLLOW) as cut, platform.observing(other) as spared:
        await cut.read_until(b"history-end")
        await spared.read_until(b"history-end")
        await platform.ask("DELETE", f"/api/monitoring/relationships/{ended}", by=ADMIN)
        await cut.read_all()
        frame = await platform.far.conversations[OTHER_SESSION].add("str_2.1", "chunk", text="on")
        await spared.read_until(frame)


async def test_an_observer_who_stopped_reading_is_cut_too(platform: Platform) -> None:
    relationship = await platform.relate()
    conversation = platform.far.conversations[SESSION]
    async with platform.observing(FOLLOW) as observer:
        await observer.read_until(b"history-end")
        for number in range(1, 60):
            await conversation.add(f"str_1.{number}", "chunk", text="x" * 500_000)
        await until(lambda: platform.far.observing == 1)
        await platform.ask("DELETE", f"/api/monitoring/relationships/{relationship}", by=ADMIN)
        await until(lambda: platform.far.observing == 0, patience=CUT_WITHIN)
    [entry] = await platform.ended_audit()
    assert entry["reason"] == "relationship_ended"


async def test_a_database_that_cannot_be_asked_cuts_supervisors_and_then_all_recovers(
    mongo_server: Mongo,
) -> None:
    async with running_platform(f"{mongo_server.url}aula_monitoring") as platform:
        await platform.relate()
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
            await asyncio.to_thread(mongo_server.stop)
            started = time.monotonic()
            received = await observer.read_all()
            assert time.monotonic() - started < CUT_WITHIN
            assert received.endswith(
                b'event: reconnect\ndata: {"reason":"unavailable","retryAfterMs":5000}\n\n'
            )
        refused = await platform.ask("GET", FOLLOW, by=SUPERVISOR)
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await platform.ask("GET", "/readyz", by=None)).status == 503
        mongo_server.start()  # from the main thread, as it demands
        [entry] = await platform.ended_audit()
        assert entry["reason"] == "unverified"
        async with platform.observing(FOLLOW) as observer:
            await observer.read_until(b"history-end")
        assert (await platform.ask("GET", "/readyz", by=None)).status == 200
