"""Roles, relationships and paths: who sees, who is refused, who is told that there is nothing."""

import pytest
from monitoring_platform import (
    ADMIN,
    OTHER,
    OTHER_SESSION,
    SESSION,
    STRANGER,
    STUDENT,
    SUPERVISOR,
    Platform,
    running_platform,
)
from pymongo.errors import AutoReconnect

from aula_common.mongo import mongo_errors
from aula_monitoring.domain.audit import AuditEntry
from aula_monitoring.storage.audit import AuditRepository

_S = f"/api/monitoring/students/{STUDENT}"
OBSERVATIONS = [
    f"{_S}/sessions/{SESSION}/observe?follow=true",
    f"/api/chat/sessions/{SESSION}/observe?follow=true",
    f"/api/chat/sessions/{SESSION}/stream/observe?follow=true",
]
READS = [
    f"{_S}/streams",
    f"{_S}/sessions",
    f"{_S}/sessions/{SESSION}",
    f"/api/chat/users/{STUDENT}/sessions",
    f"/api/chat/users/{STUDENT}/sessions/{SESSION}",
]
CONTENT = ("/observe", "/api/chat/users/", "/streaming/active/")


async def _status(platform: Platform, path: str, by: str | None) -> int:
    headers = platform.headers(by)
    async with platform.http.get(platform.server.url + path, headers=headers) as response:
        status: int = response.status  # an observation goes on: its head is enough
    return status


@pytest.mark.parametrize("path", OBSERVATIONS + READS)
async def test_a_supervisor_with_the_relationship_and_an_admin_see(
    platform: Platform, path: str
) -> None:
    await platform.relate()
    assert await _status(platform, path, SUPERVISOR) == 200
    assert await _status(platform, path, ADMIN) == 200


@pytest.mark.parametrize("path", [*OBSERVATIONS, *READS, "/api/chat/users/search?q=a"])
async def test_a_student_is_refused_by_role_and_nobody_without_token_gets_in(
    platform: Platform, path: str
) -> None:
    await platform.relate()
    service = platform.far.mint.service(
        "chat", audience="monitoring", scopes=["relationships:read", "conversations:read"]
    )
    assert await _status(platform, path, STUDENT) == 403
    assert await _status(platform, path, service) == 403
    assert await _status(platform, path, None) == 401
    assert not any(platform.far.calls_to(part) for part in CONTENT)
    assert await platform.audit() == []


@pytest.mark.parametrize(
    "state", ["none", "another's", "ended", "deleted", "not yet", "over", "off"]
)
async def test_without_a_standing_relationship_there_is_nothing_and_chat_is_not_asked(
    platform: Platform, state: str
) -> None:
    if state == "another's":
        await platform.relate(STRANGER)
    elif state != "none":
        relationship = await platform.relate()
        path = f"/api/monitoring/relationships/{relationship}"
        if state == "ended":
            await platform.ask("PATCH", path, by=ADMIN, json={"status": "ended"})
        elif state == "deleted":
            await platform.ask("DELETE", path, by=ADMIN)
        elif state == "not yet":
            await platform.ask("PATCH", path, by=ADMIN, json={"from": "2190-01-01T00:00:00Z"})
        elif state == "over":
            times = {"from": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00+02:00"}
            await platform.ask("PATCH", path, by=ADMIN, json=times)
        else:
            await platform.ask("PATCH", path, by=ADMIN, json={"mode": "off"})
    for path in OBSERVATIONS + READS:
        foreign = await platform.ask("GET", path, by=SUPERVISOR, X_Request_Id="one")
        absent = await platform.ask(
            "GET",
            path.replace(SESSION, "ses_absent").replace(STUDENT, "usr_absent"),
            by=SUPERVISOR,
            X_Request_Id="one",
        )
        assert foreign.status == absent.status == 404, path
        assert foreign.raw == absent.raw
        assert _stable(foreign.headers) == _stable(absent.headers)
    assert not any(platform.far.calls_to(part) for part in CONTENT)
    assert await platform.audit() == []


def _stable(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "date"}


async def test_another_student_s_conversation_under_my_student_s_name_is_nothing(
    platform: Platform,
) -> None:
    await platform.relate()
    for path in (
        f"{_S}/sessions/{OTHER_SESSION}/observe?follow=true",
        f"{_S}/sessions/{OTHER_SESSION}",
        f"/api/chat/users/{STUDENT}/sessions/{OTHER_SESSION}",
    ):
        for by in (SUPERVISOR, ADMIN):
            assert (await platform.ask("GET", path, by=by)).status == 404
    assert not any(platform.far.calls_to(part) for part in CONTENT)
    assert await platform.audit() == []


async def test_a_look_that_cannot_be_written_down_shows_nothing(
    mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: AuditRepository, entry: AuditEntry) -> None:
        with mongo_errors():
            raise AutoReconnect

    async with running_platform(mongo_database) as platform:
        await platform.relate()
        monkeypatch.setattr(AuditRepository, "add", fail)
        for path in [*OBSERVATIONS, *READS[1:], "/api/chat/users/search?q=a"]:
            answer = await platform.ask("GET", path, by=SUPERVISOR)
            assert answer.status == 503, path
            assert "database" in answer.body["detail"]
            assert "Retry-After" in answer.headers
        assert not any(platform.far.calls_to(part) for part in CONTENT)


async def test_in_the_mode_summary_no_text_leaves_by_any_path(platform: Platform) -> None:
    await platform.relate(mode="summary")
    for path in READS[1:]:
        answer = await platform.ask("GET", path, by=SUPERVISOR)
        assert answer.status == 200
        assert b"blue" not in answer.raw
        assert b"scatters" not in answer.raw
        assert b"curl" not in answer.raw
        assert b"ses_one" in answer.raw
    whole = await platform.ask("GET", READS[2], by=SUPERVISOR)
    assert [message["role"] for message in whole.body["messages"]] == ["user", "assistant"]
    for path in OBSERVATIONS:
        assert await _status(platform, path, SUPERVISOR) == 200
    assert {call.query["view"] for call in platform.far.calls_to("/observe")} == {"summary"}
    assert {entry["mode"] for entry in await platform.audit()} == {"summary"}


async def test_a_summary_may_be_asked_for_where_more_is_allowed(platform: Platform) -> None:
    await platform.relate()
    assert await _status(platform, OBSERVATIONS[0] + "&view=summary", SUPERVISOR) == 200
    [call] = platform.far.calls_to("/observe")
    assert call.query["view"] == "summary"
    [entry] = await platform.audit()
    assert entry["mode"] == "summary"


async def test_an_admin_who_looks_is_on_record_for_the_student(platform: Platform) -> None:
    assert await _status(platform, OBSERVATIONS[1], ADMIN) == 200
    answer = await platform.ask("GET", "/api/monitoring/audit", by=STUDENT)
    [entry] = answer.body["entries"]
    assert (entry["observerId"], entry["observerRole"]) == (ADMIN, "admin")
    assert (entry["studentId"], entry["sessionId"]) == (STUDENT, SESSION)


async def test_search_finds_a_supervisor_s_own_students_and_an_admin_anybody(
    platform: Platform,
) -> None:
    await platform.relate()
    path = "/api/chat/users/search?q=le"
    mine = await platform.ask("GET", path, by=SUPERVISOR)
    assert mine.body["users"] == [
        {"userId": STUDENT, "username": "Lena", "name": "Lena", "sessionCount": 1}
    ]
    anybody = await platform.ask("GET", path, by=ADMIN)
    assert {user["userId"] for user in anybody.body["users"]} == {STUDENT, OTHER}
    nobody = await platform.ask("GET", path, by=STRANGER)
    assert nobody.body["users"] == []
    assert nobody.body["pagination"]["total"] == 0
    assert [entry["kind"] for entry in await platform.audit()] == ["search"] * 3


async def test_a_student_reads_who_observed_them_an_admin_all_a_supervisor_nothing(
    platform: Platform,
) -> None:
    await platform.relate()
    await platform.ask("GET", READS[2], by=SUPERVISOR)
    await platform.ask("GET", f"/api/chat/users/{OTHER}/sessions", by=ADMIN)
    path = "/api/monitoring/audit"
    assert [
        entry["observerId"]
        for entry in (await platform.ask("GET", path, by=STUDENT)).body["entries"]
    ] == [SUPERVISOR]
    assert (await platform.ask("GET", f"{path}?studentId={OTHER}", by=STUDENT)).body[
        "entries"
    ] == []
    whole = await platform.ask("GET", path, by=ADMIN)
    assert [entry["studentId"] for entry in whole.body["entries"]] == [OTHER, STUDENT]
    narrowed = await platform.ask("GET", f"{path}?observerId={SUPERVISOR}&kind=read", by=ADMIN)
    assert narrowed.body["pagination"]["total"] == 1
    assert (await platform.ask("GET", path, by=SUPERVISOR)).status == 403


async def test_nobody_holds_more_observations_than_allowed(mongo_database: str) -> None:
    limits = {"max_observations_per_observer": 1, "max_observations": 2}
    async with running_platform(mongo_database, **limits) as platform:
        await platform.relate()
        await platform.relate(STRANGER)
        async with (
            platform.observing(OBSERVATIONS[0]),
            platform.observing(OBSERVATIONS[0], by=ADMIN),
        ):
            mine = await platform.ask("GET", OBSERVATIONS[0], by=SUPERVISOR)
            full = await platform.ask("GET", OBSERVATIONS[0], by=STRANGER)
        assert (mine.status, full.status) == (503, 503)
        await platform.ended_audit(count=2)
        async with platform.observing(OBSERVATIONS[0]):
            mine = await platform.ask("GET", OBSERVATIONS[0], by=SUPERVISOR)
        assert mine.status == 429
        assert mine.body["code"] == "too_many_observations"
        assert mine.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "path",
    [
        f"{_S}/sessions/..%2f..%2finternal/observe",
        f"{_S}/sessions/a%00b",
        "/api/chat/sessions/%7B%22$ne%22:null%7D/observe",
        "/api/chat/users/$where/sessions",
        "/api/chat/users/" + "x" * 65 + "/sessions",
        "/api/monitoring/relationships?status[$ne]=x&supervisorId[$gt]=",
        "/api/monitoring/audit?studentId=$ne",
    ],
)
async def test_what_is_no_identifier_never_gets_anywhere(platform: Platform, path: str) -> None:
    answer = await platform.ask("GET", path, by=ADMIN)
    if "[" in path:  # unknown parameters of a query are not ours and mean nothing
        assert answer.status == 200
    else:
        assert answer.status in {404, 422}
    assert not any(platform.far.calls_to(part) for part in CONTENT)
