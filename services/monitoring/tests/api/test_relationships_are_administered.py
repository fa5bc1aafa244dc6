"""Making, reading, changing and ending relationships."""

import asyncio
from typing import Any

import pytest
from monitoring_platform import ADMIN, OTHER, STRANGER, STUDENT, SUPERVISOR, Platform

PATH = "/api/monitoring/relationships"
PAIR = {"supervisorId": SUPERVISOR, "studentId": STUDENT}


async def test_a_relationship_is_made_read_changed_and_removed(platform: Platform) -> None:
    made = await platform.ask("POST", PATH, by=ADMIN, json={**PAIR, "mode": "summary"})
    assert made.status == 201
    assert made.body["mode"] == "summary"
    assert made.body["status"] == "active"
    assert made.body["until"] is None
    one = f"{PATH}/{made.body['id']}"
    assert (await platform.ask("GET", one, by=ADMIN)).body == made.body
    until = {"until": "2190-01-01T02:00:00+02:00", "mode": "live"}
    changed = await platform.ask("PATCH", one, by=ADMIN, json=until)
    assert changed.body["until"] == "2190-01-01T00:00:00Z"
    assert changed.body["mode"] == "live"
    assert (await platform.ask("PATCH", one, by=ADMIN, json={"until": None})).body["until"] is None
    assert (await platform.ask("DELETE", one, by=ADMIN)).status == 204
    assert (await platform.ask("DELETE", one, by=ADMIN)).status == 404
    assert (await platform.ask("GET", one, by=ADMIN)).status == 404


async def test_only_administrators_write(platform: Platform) -> None:
    one = f"{PATH}/{await platform.relate()}"
    service = platform.far.mint.service(
        "chat", audience="monitoring", scopes=["relationships:read"]
    )
    for by in (SUPERVISOR, STUDENT, service):
        made = await platform.ask(
            "POST", PATH, by=by, json={"supervisorId": SUPERVISOR, "studentId": OTHER}
        )
        assert made.status == 403
        assert (await platform.ask("PATCH", one, by=by, json={"mode": "off"})).status == 403
        assert (await platform.ask("DELETE", one, by=by)).status == 403
    assert (await platform.ask("GET", one, by=ADMIN)).body["mode"] == "live"


@pytest.mark.parametrize(
    ("pair", "field"),
    [
        ({"supervisorId": STUDENT, "studentId": OTHER}, "supervisorId"),
        ({"supervisorId": ADMIN, "studentId": OTHER}, "supervisorId"),
        ({"supervisorId": "usr_absent", "studentId": OTHER}, "supervisorId"),
        ({"supervisorId": SUPERVISOR, "studentId": STRANGER}, "studentId"),
        ({"supervisorId": SUPERVISOR, "studentId": "usr_absent"}, "studentId"),
        ({"supervisorId": SUPERVISOR, "studentId": SUPERVISOR}, "studentId"),
    ],
)
async def test_auth_must_know_the_one_as_supervisor_and_the_other_as_enduser(
    platform: Platform, pair: dict[str, str], field: str
) -> None:
    answer = await platform.ask("POST", PATH, by=ADMIN, json=pair)
    assert answer.status == 422
    assert answer.body["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "everything"},
        {"role": "admin"},
        {"from": 5},
        {"from": "2020-01-01T00:00:00"},
        {"until": "2020-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:59:59-23:00"},
        {"supervisorId": {"$ne": None}},
        {"studentId": "a b"},
        {"studentId": "a\x00b"},
    ],
)
async def test_what_makes_no_sense_is_refused(platform: Platform, fields: dict[str, Any]) -> None:
    answer = await platform.ask("POST", PATH, by=ADMIN, json={**PAIR, **fields})
    assert answer.status == 422, answer.raw
    assert answer.body["code"] == "invalid_request"


async def test_of_many_at_once_one_relationship_of_a_pair_is_made(platform: Platform) -> None:
    answers = await asyncio.gather(
        *(platform.ask("POST", PATH, by=ADMIN, json=PAIR) for _ in range(12))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 11
    listed = await platform.ask("GET", PATH, by=ADMIN)
    assert listed.body["pagination"]["total"] == 1


async def test_after_an_end_a_new_relationship_may_be_made_and_the_old_one_stays_ended(
    platform: Platform,
) -> None:
    one = f"{PATH}/{await platform.relate()}"
    assert (await platform.ask("PATCH", one, by=ADMIN, json={"status": "ended"})).status == 200
    for change in ({"status": "active"}, {"mode": "off"}, {"until": None}):
        answer = await platform.ask("PATCH", one, by=ADMIN, json=change)
        assert (answer.status, answer.body["code"]) == (409, "relationship_ended")
    await platform.relate()
    active = await platform.ask("GET", f"{PATH}?status=active", by=ADMIN)
    ended = await platform.ask("GET", f"{PATH}?status=ended", by=ADMIN)
    assert active.body["pagination"]["total"] == ended.body["pagination"]["total"] == 1


async def test_one_whose_time_is_over_reads_as_ended_and_makes_way_for_a_new_one(
    platform: Platform,
) -> None:
    past = {"from": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}
    over = await platform.relate(**past)
    ended = await platform.ask("GET", f"{PATH}?status=ended", by=SUPERVISOR)
    assert [item["id"] for item in ended.body["relationships"]] == [over]
    assert ended.body["relationships"][0]["status"] == "ended"
    again = await platform.relate()
    active = await platform.ask("GET", f"{PATH}?status=active", by=STUDENT)
    assert [item["id"] for item in active.body["relationships"]] == [again]


async def test_the_two_read_their_own_and_a_service_a_named_supervisor_s(
    platform: Platform,
) -> None:
    mine, other = await platform.relate(), await platform.relate(STRANGER, OTHER)

    async def listed(by: str, query: str = "") -> set[str]:
        answer = await platform.ask("GET", PATH + query, by=by)
        assert answer.status == 200
        return {item["id"] for item in answer.body["relationships"]}

    assert await listed(ADMIN) == {mine, other}
    assert await listed(SUPERVISOR) == await listed(STUDENT) == {mine}
    assert await listed(SUPERVISOR, f"?supervisorId={STRANGER}") == set()
    assert await listed(OTHER, f"?studentId={STUDENT}") == set()
    for by, one, status in ((STUDENT, mine, 200), (STUDENT, other, 404), (STRANGER, mine, 404)):
        assert (await platform.ask("GET", f"{PATH}/{one}", by=by)).status == status
    token = platform.far.mint.service("chat", audience="monitoring", scopes=["relationships:read"])
    assert await listed(token, f"?supervisorId={STRANGER}") == {other}
    assert (await platform.ask("GET", PATH, by=token)).status == 422
    other_scope = platform.far.mint.service("chat", audience="monitoring", scopes=["users:read"])
    assert (await platform.ask("GET", PATH, by=other_scope)).status == 403


async def test_pages_are_counted_and_past_the_end_there_is_nothing(platform: Platform) -> None:
    await platform.relate()
    await platform.relate(STRANGER)
    first = await platform.ask("GET", f"{PATH}?limit=1", by=ADMIN)
    assert first.body["pagination"] == {"total": 2, "page": 1, "limit": 1, "pages": 2}
    beyond = await platform.ask("GET", f"{PATH}?page=9", by=ADMIN)
    assert beyond.body["relationships"] == []
    assert (await platform.ask("GET", f"{PATH}?limit=0", by=ADMIN)).status == 422
