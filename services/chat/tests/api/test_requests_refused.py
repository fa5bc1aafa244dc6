"""What is refused before anything is done: always a 4xx, never a 5xx."""

import json
from typing import Any

from chat_builders import Chat

BAD_MESSAGES: list[Any] = [
    "", " ", "\n\t ", "\x1c", "\u2003", "x" * 10_001, "a\0b", 7, None, True, ["x"],
    {"$ne": None}, {"$where": "1"}, {},
]  # fmt: skip


async def test_a_bad_message_is_refused_and_nothing_is_kept(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    for message in BAD_MESSAGES:
        for tail in ("stream", "messages"):
            answer = await student.post(
                f"/api/chat/sessions/{session_id}/{tail}", {"message": message}
            )
            assert answer.status_code == 422, repr(message)[:40]
            assert answer.headers["content-type"] == "application/problem+json"
    assert await student.messages(session_id) == []


async def test_other_bad_bodies_are_refused(chat: Chat) -> None:
    student = chat.person()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/stream"
    bodies: list[tuple[bytes, int]] = [
        (b'{"message": "x\\ud800y"}', 422),
        (b'{"message": "x", "modelId": "\\ud800"}', 422),
        (b'{"message": "x", "\\ud800": 1}', 422),
        (b'{"message": "x", "max_tokens": 5}', 422),
        (b'{"message": "x", "modelId": {"$ne": null}}', 422),
        (b'{"message": "x", "modelId": ""}', 422),
        (b'{"message": NaN}', 422),
        (b'{"message": "x"', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b'"x"', 422),
        (b"", 422),
        (b'{"message": ' + b"9" * 5000 + b"}", 422),
        (b'{"message": "' + b"x" * 1_100_000 + b'"}', 413),
    ]
    for body, status in bodies:
        answer = await student.request(
            "POST", path, content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {status, 400}, (body[:40], answer.text)
        assert json.loads(answer.content)["code"] != "internal_error"
    assert await student.messages(session_id) == []


async def test_ids_that_are_none_are_refused(chat: Chat) -> None:
    student = chat.person()
    for bad in ('{"$ne":null}', "a.b", "x" * 65, "%00", "..%2f..", "\u00e4"):
        for method, path in (
            ("GET", f"/api/chat/sessions/{bad}"),
            ("DELETE", f"/api/chat/sessions/{bad}"),
            ("POST", f"/api/chat/sessions/{bad}/stop"),
        ):
            answer = await student.request(method, path)
            assert answer.status_code in {404, 405, 422}, (bad, answer.status_code)


async def test_bad_fields_of_a_session_are_refused(chat: Chat) -> None:
    student = chat.person()
    bad: list[dict[str, Any]] = [
        {"title": ""}, {"title": "x" * 201}, {"title": {"$ne": None}}, {"title": "a\0"},
        {"projectId": "a.b"}, {"taskId": "$x"}, {"source": ["x"]}, {"modelId": 1},
        {"userId": "usr_other"}, {"role": "admin"}, {"_id": "x"}, {"messages": []},
    ]  # fmt: skip
    for body in bad:
        assert (await student.post("/api/chat/sessions", body)).status_code == 422, body
    listing = "/api/chat/sessions"
    for query in ("page=0", "page=x", "limit=0", "projectId=a.b", "projectId[$ne]=x"):
        status = (await student.get(f"{listing}?{query}")).status_code
        assert status == (200 if "[" in query else 422), query


BAD_EVENT_IDS = [
    "x", "0", "-1", "str_unknown.1", "str_a.-1", "str_a.1.2", "str_a." + "9" * 300,
    "s" * 5000, "str_a.\u0661".encode().decode("latin-1"), '{"$ne": null}.1',
]  # fmt: skip


async def test_a_bad_last_event_id_is_malformed(chat: Chat) -> None:
    student = chat.person()
    session_id = await student.new_session()
    for header in BAD_EVENT_IDS:
        answer = await student.get(
            f"/api/chat/sessions/{session_id}/stream",
            headers={"Last-Event-ID": header.encode("latin-1")},
        )
        assert answer.status_code == 400, header[:40]


async def test_a_bad_idempotency_key_is_refused(chat: Chat) -> None:
    student = chat.person()
    session_id = await student.new_session()
    for key in ("", "x" * 256, "a b", "\u00e4".encode().decode("latin-1")):
        answer = await student.request(
            "POST",
            f"/api/chat/sessions/{session_id}/stream",
            json={"message": "x"},
            headers={"Idempotency-Key": key.encode("latin-1")},
        )
        assert answer.status_code == 422, key


async def test_without_a_token_everything_is_the_same_401(chat: Chat) -> None:
    student = chat.person()
    session_id = await student.new_session()
    bodies = set()
    for token in (None, "x", chat.around.mint.user("usr_a", aud="other")):
        headers = {"X-Request-Id": "same"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        for path in (
            "/api/chat/sessions",
            f"/api/chat/sessions/{session_id}/stream",
            "/api/models",
        ):
            answer = await chat.http.get(path, headers=headers)
            assert answer.status_code == 401
            bodies.add(answer.content)
    assert len(bodies) == 1


async def test_a_service_cannot_act_as_a_person(chat: Chat) -> None:
    monitoring = chat.service("conversations:read", "observations:write")
    answer = await monitoring.get("/api/chat/sessions", headers={"X-On-Behalf-Of": "usr_a"})
    assert answer.status_code == 403
