"""Who may see and do what, through the gateway and past it."""

import asyncio
import secrets

import pytest
from e2e_people import People, Person

from aula_devstack.platform import Platform

REQUEST_ID = {"X-Request-Id": "the-same-for-both"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/accounting/streaming/initialize",
            {"sessionId": "s", "userId": "u", "modelId": "m", "inputTokens": 1},
        ),
        (
            "/api/accounting/streaming/finalize",
            {"sessionId": "s", "userId": "u", "inputTokens": 0, "outputTokens": 0},
        ),
        ("/api/accounting/streaming/abort", {"sessionId": "s", "userId": "u"}),
        ("/api/accounting/credits/allocate", {"userId": "u", "credits": 1000}),
    ],
)
async def test_student_moves_no_credits(
    platform: Platform, people: People, path: str, body: dict[str, object]
) -> None:
    student = await people.student()

    refused = await student.call(
        "POST", path, 403, json=body, headers={"Idempotency-Key": secrets.token_hex(8)}
    )

    assert refused["code"] == "forbidden"


async def test_foreign_session_is_as_absent(platform: Platform, people: People) -> None:
    owner, stranger = await people.student(), await people.student()
    session_id = await owner.new_session()

    async def tried(person: Person, session: str) -> list[tuple[int, bytes]]:
        path = f"/api/chat/sessions/{session}"
        message = {"message": "Hello"}
        answers = [
            await person.client.get(path, headers=REQUEST_ID),
            await person.client.patch(path, json={"title": "Mine"}, headers=REQUEST_ID),
            await person.client.delete(path, headers=REQUEST_ID),
            await person.client.get(f"{path}/messages", headers=REQUEST_ID),
            await person.client.post(f"{path}/messages", json=message, headers=REQUEST_ID),
            await person.client.get(f"{path}/stream", headers=REQUEST_ID),
            await person.client.post(f"{path}/stream", json=message, headers=REQUEST_ID),
            await person.client.post(f"{path}/stop", headers=REQUEST_ID),
        ]
        return [(answer.status_code, answer.content) for answer in answers]

    foreign = await tried(stranger, session_id)
    absent = await tried(stranger, "ses_absent")

    assert {status for status, _ in foreign} == {404}
    assert foreign == absent
    await owner.call("GET", f"/api/chat/sessions/{session_id}", 200)


async def test_student_may_not_observe(platform: Platform, people: People) -> None:
    student, other = await people.student(), await people.student()
    session_id = await other.new_session()

    for path in (
        f"/api/chat/sessions/{session_id}/observe",
        f"/api/monitoring/students/{other.id}/sessions/{session_id}/observe",
        f"/api/chat/users/{other.id}/sessions",
    ):
        await student.call("GET", path, 403)


async def test_supervisor_without_relationship_sees_what_is_absent(
    platform: Platform, people: People
) -> None:
    student, supervisor = await people.student(), await people.supervisor()
    session_id = await student.new_session()
    asking = asyncio.create_task(student.ask(session_id, "Hi? [[tokens=150]] [[pace=20]]"))

    for path, absent in (
        (f"/api/chat/sessions/{session_id}/observe", "/api/chat/sessions/ses_absent/observe"),
        (f"/api/chat/users/{student.id}/sessions", "/api/chat/users/usr_absent/sessions"),
        (
            f"/api/monitoring/students/{student.id}/sessions/{session_id}/observe",
            "/api/monitoring/students/usr_absent/sessions/ses_absent/observe",
        ),
    ):
        refused = await supervisor.client.get(path, headers=REQUEST_ID)
        nothing = await supervisor.client.get(absent, headers=REQUEST_ID)
        assert refused.status_code == nothing.status_code == 404
        assert refused.content == nothing.content
    assert (await asking).terminal["event"] == "complete"


async def test_chat_itself_shows_supervisors_nothing(platform: Platform, people: People) -> None:
    student, supervisor = await people.student(), await people.supervisor()
    admin = await people.admin()
    await people.relate(supervisor, student)
    session_id = await student.new_session()
    await student.ask(session_id, "My secret is tangerine. [[tokens=10]]")

    for person in (supervisor, admin, student):
        for path in (
            f"/api/chat/sessions/{session_id}/observe?observationId=obs_1&follow=true",
            f"/api/chat/users/{student.id}/sessions",
            f"/api/chat/users/{student.id}/sessions/{session_id}",
            f"/internal/sessions/{session_id}/owner",
        ):
            answer = await person.client.get(platform.chat.url + path)
            assert answer.status_code == 403
            assert "tangerine" not in answer.text
    for person in (supervisor, admin):
        answer = await person.client.get(f"{platform.chat.url}/api/chat/sessions/{session_id}")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "path", ["/internal/revocations", "/metrics", "/readyz", "/livez", "/internal/sessions/x/owner"]
)
async def test_gateway_routes_no_internal_path(
    platform: Platform, people: People, path: str
) -> None:
    admin = await people.admin()

    assert (await admin.client.get(path)).status_code == 404


async def test_a_person_cannot_act_for_another(platform: Platform, people: People) -> None:
    student, other = await people.student(), await people.student()
    session_id = await other.new_session()

    answer = await student.client.get(
        f"{platform.chat.url}/api/chat/sessions/{session_id}", headers={"X-On-Behalf-Of": other.id}
    )

    assert answer.status_code == 404
