"""A thin route answers what its endpoint of FastAPI answers, byte for byte."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from accounting_builders import CHAT_SCOPES, SONNET, Api
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from aula_accounting.api.router import thin_routes
from aula_common.security.principal import Role

_THIN = "application/json"
_WHOLE = "application/json; charset=utf-8"  # means the same, and is left to FastAPI
_IDS = {"sessionId": "str_1", "userId": "usr_a"}
_START = {**_IDS, "modelId": SONNET, "inputTokens": 500, "maxOutputTokens": 500}
_TARGETS = [route.target for route in thin_routes]


async def _post(
    api: Api, target: str, content: bytes, headers: dict[str, str], kind: str
) -> httpx.Response:
    headers = {**headers, "Content-Type": kind, "X-Request-Id": "one"}
    return await api.http.post(target, content=content, headers=headers)


@contextmanager
def _without_fastapi(api: Api) -> Iterator[None]:
    """Inside, a request that reaches FastAPI's router is an error."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("FastAPI was asked")

    handled = api.app.router.middleware_stack
    api.app.router.middleware_stack = refuse
    try:
        yield
    finally:
        api.app.router.middleware_stack = handled


def _json(body: dict[str, Any]) -> bytes:
    return httpx.Request("POST", "http://x", json=body).content


async def test_the_hot_path_does_not_go_through_fastapi(api: Api) -> None:
    await api.give("usr_a", 100)
    chat = api.chat
    with _without_fastapi(api):
        for number, prefix in enumerate(("/api/accounting/streaming", "/api/streaming-sessions")):
            ids = {**_IDS, "sessionId": f"str_{number}"}
            steps: list[tuple[str, dict[str, Any], int]] = [("initialize", {**_START, **ids}, 201)]
            if number == 0:
                steps.append(("heartbeat", {**ids, "tokensGenerated": 3}, 200))
            steps.append(("finalize", {**ids, "actualTokens": 100}, 200))
            steps.append(("abort", ids, 200))
            for name, body, status in steps:
                answer = await _post(api, f"{prefix}/{name}", _json(body), chat, _THIN)
                assert answer.status_code == status, answer.text
                assert answer.headers["X-Request-Id"] == "one"


async def test_both_ways_answer_the_same_when_all_is_well(api: Api) -> None:
    await api.give("usr_a", 100)
    for name, body, status in (
        ("initialize", _START, 201),
        ("heartbeat", {**_IDS, "tokensGenerated": 3}, 200),
        ("finalize", {**_IDS, "inputTokens": 1, "outputTokens": 300, "duration": 5}, 200),
        ("abort", {**_IDS, "reason": "late", "error": "…"}, 200),
        ("initialize", _START, 409),
        ("initialize", {**_START, "sessionId": "str_2", "userId": "usr_poor"}, 402),
        ("initialize", {**_START, "sessionId": "str_3", "modelId": "none"}, 422),
        ("finalize", {**_IDS, "sessionId": "str_4", "actualTokens": 1}, 404),
    ):
        target = f"/api/accounting/streaming/{name}"
        thin = await _post(api, target, _json(body), api.chat, _THIN)
        whole = await _post(api, target, _json(body), api.chat, _WHOLE)
        if name == "heartbeat":
            assert thin.status_code == status
        assert (thin.status_code, thin.content) == (whole.status_code, whole.content)
        assert thin.status_code == status, thin.text
        assert sorted(thin.headers.items()) == sorted(whole.headers.items())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"sessionId": "\\ud800", "userId": "usr_a"}',
        b'{"sessionId": "a\\u0000b", "userId": "usr_a"}',
        b'{"sessionId": "str_1", "userId": "usr_a", "unknown": 1}',
        b'{"sessionId": 1, "userId": true, "actualTokens": 1.0, "tokensGenerated": "1"}',
        b'{"sessionId": "str_1", "userId": "usr_a", "actualTokens": -1, "inputTokens": NaN}',
        b'{"sessionId": "str_1", "userId": "usr_a", "tokensGenerated": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"session_id": "str_1", "user_id": "usr_a"}',
    ],
    ids=lambda content: repr(content[:40]),
)
async def test_what_is_wrong_with_a_body_is_told_the_same(api: Api, content: bytes) -> None:
    for target in _TARGETS:
        thin = await _post(api, target, content, api.chat, _THIN)
        whole = await _post(api, target, content, api.chat, _WHOLE)
        assert (thin.status_code, thin.content) == (whole.status_code, whole.content)
        assert thin.status_code in (400, 422), thin.text


async def test_who_may_not_is_told_the_same(api: Api) -> None:
    tokens = api.mint.service("chat", audience="chat", scopes=CHAT_SCOPES)
    callers: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic " + api.chat["Authorization"][7:]}, 401),
        ({"Authorization": "Bearer none"}, 401),
        ({"Authorization": f"Bearer {tokens}"}, 401),
        (api.service("rates:read"), 403),
        (api.person("usr_a"), 403),
        (api.person("usr_a", Role.ADMIN), 403),
        ({**api.chat, "X-On-Behalf-Of": "not an id"}, 400),
        ({"Authorization": api.chat["Authorization"].replace("Bearer", "bEARER")}, 402),
        ({**api.chat, "X-On-Behalf-Of": "usr_b"}, 402),
    ]
    for target in _TARGETS:
        body = _json(_START)
        for headers, status in callers:
            thin = await _post(api, target, body, headers, _THIN)
            whole = await _post(api, target, body, headers, _WHOLE)
            assert (thin.status_code, thin.content) == (whole.status_code, whole.content)
            if target.endswith("initialize") or status in (401, 403, 400):
                assert thin.status_code == status, (headers, thin.text)


async def test_a_body_that_is_too_large_is_413_however_it_comes(api: Api) -> None:
    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 32_768

    for target in _TARGETS:
        for content in (b" " * 1_100_000, pieces()):
            headers = {**api.chat, "Content-Type": _THIN}
            answer = await api.http.post(target, content=content, headers=headers)
            assert answer.status_code == 413, answer.text


async def test_another_method_is_fastapis(api: Api) -> None:
    for target in _TARGETS:
        answer = await api.http.put(target, json={}, headers=api.chat)
        assert answer.status_code == 405


def test_each_thin_route_has_its_endpoint_which_describes_it(api: Api) -> None:
    paths = api.app.openapi()["paths"]
    for route in thin_routes:
        described = paths[route.target]["post"]
        assert str(route.status) in described["responses"]
        schema = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert schema.rpartition("/")[2] == route.body.__name__
    scope = {"type": "http", "method": "POST", "path": _TARGETS[0], "headers": []}
    assert any(one.matches(scope)[0] is Match.FULL for one in api.app.router.routes)
