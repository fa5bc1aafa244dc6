"""A stream is begun past FastAPI, which would answer the same."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from chat_builders import Chat
from starlette.types import Receive, Scope, Send

from aula_chat.api.router import thin_routes
from aula_common.security.principal import Role

_THIN = "application/json"
_WHOLE = "application/json; charset=utf-8"  # means the same, and is left to FastAPI
_QUESTION = {"message": "[[pace=0 tokens=3]] Hi"}


@contextmanager
def _without_fastapi(chat: Chat) -> Iterator[None]:
    """Inside, a request that reaches FastAPI's router is an error."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("FastAPI was asked")

    handled = chat.app.router.middleware_stack
    chat.app.router.middleware_stack = refuse
    try:
        yield
    finally:
        chat.app.router.middleware_stack = handled


async def _post(
    chat: Chat, path: str, content: bytes, headers: dict[str, str], kind: str
) -> httpx.Response:
    headers = {"X-Request-Id": "one", **headers, "Content-Type": kind}
    return await chat.http.post(path, content=content, headers=headers)


async def _same(
    chat: Chat, path: str, content: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """What both ways answer."""
    thin, whole = [await _post(chat, path, content, headers, kind) for kind in (_THIN, _WHOLE)]
    assert (thin.status_code, thin.content) == (whole.status_code, whole.content)
    assert sorted(thin.headers.items()) == sorted(whole.headers.items())
    return thin.status_code, thin.json()


async def test_a_stream_does_not_go_through_fastapi(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    with _without_fastapi(chat):
        first = await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
        keyed = {"Idempotency-Key": "one"}
        second = await student.ask(session_id, "[[pace=0 tokens=3]] Hi", headers=keyed)
    assert first[-1].event == second[-1].event == "complete"


async def test_both_ways_count_as_the_one_route(chat: Chat) -> None:
    student = await chat.student()
    session_id = await student.new_session()
    path = f"/api/chat/sessions/{session_id}/stream"
    authorization = {"Authorization": f"Bearer {student.token}"}
    heads = []
    for number, kind in enumerate((_THIN, _WHOLE)):
        answer = await _post(chat, path, json.dumps(_QUESTION).encode(), authorization, kind)
        assert answer.status_code == 200
        heads.append(sorted((name, value) for name, value in answer.headers.items()))
        counted = await chat.metric(
            "http_requests_total",
            method="POST",
            route="/api/chat/sessions/{session_id}/stream",
            status="200",
        )
        assert counted == number + 1
    assert heads[0] == heads[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"message": "\\ud800"}',
        b'{"message": "a\\u0000b"}',
        b'{"message": ""}',
        b'{"message": 1}',
        b'{"message": "Hi", "unknown": 1}',
        b'{"message": "Hi", "modelId": 1}',
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:40]),
)
async def test_what_is_wrong_with_a_body_is_told_the_same(chat: Chat, content: bytes) -> None:
    student = chat.person()
    authorization = {"Authorization": f"Bearer {student.token}"}
    status, _ = await _same(chat, "/api/chat/sessions/ses_1/stream", content, authorization)
    assert status in (400, 422)


async def test_who_may_not_is_told_the_same(chat: Chat) -> None:
    person, service = chat.person().token, chat.service("conversations:read").token
    supervisor = chat.person(role=Role.SUPERVISOR).token
    callers: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": f"Basic {person}"}, 401),
        ({"Authorization": "Bearer none"}, 401),
        ({"Authorization": f"Bearer {service}"}, 403),
        ({"Authorization": f"Bearer {service}", "X-On-Behalf-Of": "usr_1"}, 403),
        ({"Authorization": f"Bearer {service}", "X-On-Behalf-Of": "not an id"}, 400),
        ({"Authorization": f"bEARER {person}"}, 404),
        ({"Authorization": f"Bearer {supervisor}"}, 404),
        ({"Authorization": f"Bearer {person}", "Idempotency-Key": "k"}, 404),
        ({"Authorization": f"Bearer {person}", "Idempotency-Key": "k" * 255}, 404),
        ({"Authorization": f"Bearer {person}", "Idempotency-Key": "k" * 256}, 422),
        ({"Authorization": f"Bearer {person}", "Idempotency-Key": "two words"}, 422),
        ({"Authorization": f"Bearer {person}", "Idempotency-Key": ""}, 422),
    ]
    body = json.dumps(_QUESTION).encode()
    for headers, expected in callers:
        status, answer = await _same(chat, "/api/chat/sessions/ses_none/stream", body, headers)
        assert status == expected, (headers, answer)


async def test_a_path_that_names_no_session_is_told_the_same(chat: Chat) -> None:
    authorization = {"Authorization": f"Bearer {chat.person().token}"}
    body = json.dumps(_QUESTION).encode()
    for name in ("a%20b", "a.b", "a" * 65, "ses_1/stream", "ses_1%0A", "%C3%A9"):
        status, answer = await _same(chat, f"/api/chat/sessions/{name}/stream", body, authorization)
        assert status in (404, 422), answer


def test_each_thin_route_has_its_endpoint_which_describes_it(chat: Chat) -> None:
    paths = chat.app.openapi()["paths"]
    for route in thin_routes:
        described = paths[route.path]["post"]
        assert str(route.status) in described["responses"]
        schema = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert schema.rpartition("/")[2] == route.body.__name__
        taken = {one["name"] for one in described["parameters"] if one["in"] == "header"}
        assert taken == set(route.headers)
