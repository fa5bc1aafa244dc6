"""Which service answers which path, and that nothing else is passed on."""

import asyncio
import json
from pathlib import Path

import pytest
from gateway.gateway_stack import Stack, read_answer, running_stack

ROUTES = {
    "/api/auth/login": "auth",
    "/api/auth/.well-known/jwks.json": "auth",
    "/api/auth/users/usr_1": "auth",
    "/api/accounting/credits?userId=usr_1": "accounting",
    "/api/accounting/streaming/str_1": "accounting",
    "/api/streaming-sessions/initialize": "accounting",
    "/api/streaming-sessions/finalize": "accounting",
    "/api/streaming-sessions/abort": "accounting",
    "/api/monitoring/students": "monitoring",
    "/api/monitoring/students/usr_1/sessions/ses_1/observe?follow=true": "monitoring",
    "/api/monitoring/health": "monitoring",
    "/api/chat/sessions/ses_1/observe": "monitoring",
    "/api/chat/sessions/ses_1/observe?follow=true": "monitoring",
    "/api/chat/sessions/ses_1/observe/": "monitoring",
    "/api/chat/sessions/ses_1/stream/observe": "monitoring",
    "/api/chat/sessions/ses%5F1/%6fbserve": "monitoring",
    "/api/chat/users/search?q=a": "monitoring",
    "/api/chat/users/usr_1/sessions/ses_1": "monitoring",
    "/api/chat/users": "monitoring",
    "/api/chat/sessions": "chat",
    "/api/chat/sessions/ses_1/stream": "chat",
    "/api/chat/sessions/observe": "chat",
    "/api/chat/stream?sessionId=tic_1": "chat",
    "/api/chat": "chat",
    "/api/models": "chat",
    "/api/models/anthropic.claude-3-sonnet-20240229-v1:0": "chat",
    "/api/models/anthropic.claude-3-sonnet-20240229-v1%3A0": "chat",
    "/api/health": "chat",
    "/api/version": "chat",
    "/v1/chat/completions": "chat",
    "/v1/models": "chat",
}
NOT_ROUTED = [
    "/",
    "/internal/introspect",
    "/internal/observations/renew",
    "/metrics",
    "/livez",
    "/readyz",
    "/health",
    "/docs",
    "/api",
    "/api/",
    "/api/internal/introspect",
    "/api/unknown",
    "/api/authx",
    "/api/chatx/sessions",
    "/api/modelsx",
    "/api/healthx",
    "/api/health/internal",
    "/v1",
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json/internal",
]
TRICKS = [
    "//internal/introspect",
    "//api//chat/sessions",
    "/api//internal/introspect",
    "/api/chat//sessions/ses_1/observe",
    "/api/chat/sessions//observe",
    "/api/chat/sessions/ses_1//observe",
    "/api/../internal/introspect",
    "/api/chat/../../internal/sessions/ses_1/owner",
    "/api/chat/../monitoring/students",
    "/internal/../api/chat/sessions",
    "/api/chat/./sessions",
    "/api/chat/..",
    "/api/chat/.",
    "/api/%2e%2e/internal/introspect",
    "/api/%2E%2E/internal/introspect",
    "/api/.%2e/internal/introspect",
    "/api/chat/%2e%2e/%2e%2e/internal/introspect",
    "/api%2f..%2finternal/introspect",
    "/api/chat%2f..%2f..%2finternal/introspect",
    "/api/chat/sessions/ses_1%2fobserve",
    "/api/chat/sessions/ses_1%2Fstream%2Fobserve",
    "/api/chat%2fusers/search",
    "/%2finternal/introspect",
    "/api/%252e%252e/internal/introspect",
    "/api/chat/sessions/ses_1%252fobserve",
    "/api\\..\\internal/introspect",
    "/api/chat\\users/search",
    "/api/%5c..%5cinternal/introspect",
    "/api/chat/sessions/ses_1/observe%00",
    "/api/chat/sessions/ses_1/observe%0d%0aX:y",
    "/api/chat/sessions/ses_1/observe%7f",
    "/api/chat/sessions/ses_1/observe;a=b",
    "/api/chat/sessions/ses_1;/observe",
    "/api/;/internal/introspect",
    "/API/chat/sessions",
    "/Api/auth/login",
    "/INTERNAL/introspect",
    "/Metrics",
    "/V1/models",
    "/api/CHAT/sessions",
    "/api/Auth/login",
    "/api/chat/\u00e9".encode().decode("latin-1"),
    "http://127.0.0.1/internal/introspect",
    "http://127.0.0.1/api/chat/sessions",
    "http://internal/api/chat/sessions",
    "/api/%63hat%2fusers",
    "/internal/introspect?/api/chat/sessions",
    "/internal/introspect#/api/chat/sessions",
    "*",
]


@pytest.mark.parametrize(("target", "service"), ROUTES.items())
async def test_a_public_path_reaches_its_service_as_it_was_written(
    stack: Stack, target: str, service: str
) -> None:
    answer = await stack.get(target)
    assert answer.status == 200
    assert stack.reached() == [(service, target)]


async def test_the_keys_stand_at_the_well_known_place_too(stack: Stack) -> None:
    assert (await stack.get("/.well-known/jwks.json")).status == 200
    assert stack.reached() == [("auth", "/api/auth/.well-known/jwks.json")]


async def test_what_is_not_on_the_list_is_a_404_that_looks_like_the_services_own(
    stack: Stack,
) -> None:
    for target in NOT_ROUTED:
        for method in ("GET", "POST", "DELETE", "OPTIONS", "TRACE"):
            answer = await stack.get(target, method=method, X_Request_Id="one")
            assert answer.status == 404, (method, target)
            assert answer.problem() == {
                "type": "urn:aula:error:not_found",
                "title": "Not found",
                "status": 404,
                "detail": "There is no such resource.",
                "code": "not_found",
                "message": "There is no such resource.",
                "requestId": "one",
            }
    assert stack.reached() == []


async def test_no_spelling_gets_past_the_list(stack: Stack) -> None:
    for target in TRICKS:
        answer = await stack.get(target)
        assert answer.status in {400, 404}, target
        assert answer.status == 400 or answer.problem()["code"] == "not_found"
    assert stack.reached() == []


async def test_it_answers_under_any_name_and_listens_where_it_is_told(stack: Stack) -> None:
    for host in ("localhost", f"localhost:{stack.gateway.port}", "aula.example"):
        answer = await stack.send(f"GET /api/version HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.status == 200
        assert json.loads(answer.body) == {"service": "chat"}
    listening = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
    local = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
    port = f"{stack.gateway.port:04X}"
    assert [address for address in local if address.endswith(f":{port}")] == [f"0100007F:{port}"]


async def test_an_address_with_a_host_serves_that_host_alone(tmp_path: Path) -> None:
    async with running_stack(tmp_path, host="aula.example") as stack:
        reader, writer = await stack.connect()
        writer.write(b"GET /api/version HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
        assert (await read_answer(reader)).body == b""
        assert stack.reached() == []
        writer.write(b"GET /api/version HTTP/1.1\r\nHost: aula.example\r\n\r\n")
        assert (await read_answer(reader)).status == 200
        assert stack.reached() == [("chat", "/api/version")]
        writer.close()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_methods_and_bodies_are_passed_on(stack: Stack, method: str) -> None:
    reader, writer = await stack.connect()
    body = None if method in {"GET", "HEAD"} else b'{"a": 1}'
    lines = f"{method} /api/auth/me HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    writer.write(f"{lines}{length}\r\n".encode() + (body or b""))
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    [received] = stack.services["auth"].received
    assert (received.method, received.body) == (method, body or b"")
