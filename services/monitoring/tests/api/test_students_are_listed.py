"""My students, and what runs there."""

from monitoring_platform import (
    ADMIN,
    OTHER,
    SESSION,
    STRANGER,
    STUDENT,
    SUPERVISOR,
    Platform,
)

PATH = "/api/monitoring/students"
RUNNING = {
    "sessionId": "str_1",
    "chatSessionId": SESSION,
    "userId": STUDENT,
    "modelId": "claude",
    "startedAt": "2026-01-01T00:00:00Z",
    "allocatedCredits": 7,
    "tokensGenerated": 3,
}
SHOWN = {
    "streamingSessionId": "str_1",
    "sessionId": SESSION,
    "modelId": "claude",
    "startedAt": "2026-01-01T00:00:00Z",
    "tokensGenerated": 3,
}


async def test_a_supervisor_sees_names_and_what_runs(platform: Platform) -> None:
    relationship = await platform.relate()
    platform.far.streams[STUDENT].append(RUNNING)
    answer = await platform.ask("GET", PATH, by=SUPERVISOR)
    [student] = answer.body["students"]
    assert student["studentId"] == STUDENT
    assert student["username"] == student["name"] == "Lena"
    assert student["relationshipId"] == relationship
    assert student["mode"] == "live"
    assert student["streams"] == [SHOWN]
    [call] = platform.far.calls_to("/streaming/active/")
    assert call.headers["x-on-behalf-of"] == SUPERVISOR
    own = await platform.ask("GET", f"{PATH}/{STUDENT}/streams", by=SUPERVISOR)
    assert own.body == {"streams": [SHOWN]}


async def test_a_student_whose_mode_is_off_is_listed_but_nobody_asks_what_they_do(
    platform: Platform,
) -> None:
    await platform.relate(mode="off")
    answer = await platform.ask("GET", PATH, by=SUPERVISOR)
    [student] = answer.body["students"]
    assert student["streams"] is None
    assert platform.far.calls_to("/streaming/active/") == []


async def test_former_and_future_students_and_those_of_others_are_not_listed(
    platform: Platform,
) -> None:
    await platform.relate(**{"from": "2190-01-01T00:00:00Z"})
    await platform.relate(
        student=OTHER, **{"from": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}
    )
    await platform.relate(STRANGER)
    answer = await platform.ask("GET", PATH, by=SUPERVISOR)
    assert answer.body == {
        "students": [],
        "pagination": {"total": 0, "page": 1, "limit": 20, "pages": 0},
    }


async def test_somebody_auth_has_forgotten_is_listed_without_a_name(platform: Platform) -> None:
    await platform.relate()
    del platform.far.people[STUDENT]
    [student] = (await platform.ask("GET", PATH, by=SUPERVISOR)).body["students"]
    assert (student["studentId"], student["username"], student["name"]) == (STUDENT, None, None)


async def test_the_list_is_a_supervisor_s_own(platform: Platform) -> None:
    for by in (ADMIN, STUDENT):
        assert (await platform.ask("GET", PATH, by=by)).status == 403
