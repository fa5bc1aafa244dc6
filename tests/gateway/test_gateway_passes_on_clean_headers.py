"""What services may believe of a request's headers, and what is in nobody's log."""

import json
import re
from pathlib import Path

import pytest
from gateway.gateway_stack import Received, Stack, running_stack

PATH = "/api/auth/me"


async def _received(stack: Stack, head: str) -> Received:
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n"
    answer = await stack.send(request.encode())
    assert answer.status == 200, answer.body
    return stack.services["auth"].received[-1]


@pytest.mark.parametrize(
    "name",
    [
        "X-On-Behalf-Of",
        "x-on-behalf-of",
        "X-ON-BEHALF-OF",
        "X_On_Behalf_Of",
        "x_on-behalf_of",
        "X-On-Behalf_Of",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Prefix",
        "Proxy-Authorization",
        "TE",
        "Keep-Alive",
        "Upgrade",
    ],
)
async def test_what_only_the_inside_may_say_is_stripped(stack: Stack, name: str) -> None:
    received = await _received(stack, f"{name}: usr_victim\r\n{name}: usr_other\r\n")
    assert received.values(name) == []
    assert "usr_victim" not in str(received.headers)


async def test_a_header_named_in_connection_is_the_hop_s_own(stack: Stack) -> None:
    received = await _received(stack, "Connection: X-Secret\r\nX-Secret: a\r\n")
    assert received.values("X-Secret") == []
    stripped = await _received(stack, "Connection: X-Forwarded-For, X-Request-Id\r\n")
    assert stripped.values("X-Forwarded-For") == ["127.0.0.1"]


async def test_the_client_s_address_is_the_gateway_s_to_say(stack: Stack) -> None:
    forged = (
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n"
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"
    )
    received = await _received(stack, forged)
    assert received.values("X-Forwarded-For") == ["127.0.0.1"]
    assert received.values("X-Forwarded-Proto") == ["http"]
    assert received.values("X-Forwarded-Host") == ["127.0.0.1"]


async def test_a_proxy_in_front_is_believed_where_the_operator_names_it(tmp_path: Path) -> None:
    async with running_stack(tmp_path, GATEWAY_TRUSTED_PROXIES="127.0.0.1/32") as stack:
        received = await _received(stack, "X-Forwarded-For: 203.0.113.7\r\n")
    [forwarded] = received.values("X-Forwarded-For")
    assert forwarded.split(", ")[0] == "203.0.113.7"


async def test_credentials_and_positions_are_passed_on(stack: Stack) -> None:
    head = "Authorization: Bearer abc\r\nLast-Event-ID: str_1.3\r\nIdempotency-Key: k\r\n"
    received = await _received(stack, head)
    assert received.values("Authorization") == ["Bearer abc"]
    assert received.values("Last-Event-ID") == ["str_1.3"]
    assert received.values("Idempotency-Key") == ["k"]
    assert received.values("Host") == ["127.0.0.1"]


async def test_a_trace_is_passed_on_as_it_came(stack: Stack) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    received = await _received(stack, f"traceparent: {trace}\r\ntracestate: a=1,b=2\r\n")
    assert received.values("traceparent") == [trace]
    assert received.values("tracestate") == ["a=1,b=2"]
    assert (await _received(stack, "")).values("traceparent") == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-1.2:3", True),
        ("", False),
        ("a b", False),
        ('","status":200,"x":"', False),
        ("x" * 129, False),
    ],
)
async def test_each_request_has_one_well_formed_id(stack: Stack, given: str, kept: bool) -> None:  # noqa: FBT001 - a parameter of the case
    received = await _received(stack, f"X-Request-Id: {given}\r\n")
    [passed] = received.values("X-Request-Id")
    assert (passed == given) is kept
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", passed)
    refused = await stack.get("/nowhere", X_Request_Id=given)
    assert (refused.problem()["requestId"] == given) is kept
    assert refused.headers["x-request-id"] == refused.problem()["requestId"]


async def test_two_ids_are_made_one(stack: Stack) -> None:
    received = await _received(stack, 'X-Request-Id: one\r\nX-Request-Id: "},{"\r\n')
    assert received.values("X-Request-Id") == ["one"]


async def test_the_log_is_json_without_credentials(stack: Stack) -> None:
    head = "Authorization: Bearer s3cret\r\nCookie: a=s3cret\r\nX-Api-Key: s3cret\r\n"
    await _received(stack, head)
    for target in ("/api/chat/stream?sessionId=s3cret", "/nowhere?token=s3cret"):
        await stack.get(target, Authorization="Bearer s3cret", Referer="http://x/?s3cret")
    await stack.services["chat"].stop()
    await stack.get("/api/chat/stream?sessionId=s3cret", Authorization="Bearer s3cret")
    stack.gateway.stop()
    text = stack.gateway.log_file.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    shown = [line["request"]["uri"] for line in lines if line.get("msg") == "handled request"]
    assert shown.count("/api/chat/stream") == 2
    assert "/nowhere" in shown
    assert "s3cret" not in text


async def test_nothing_tells_what_the_gateway_is(stack: Stack) -> None:
    for target in (PATH, "/nowhere"):
        answer = await stack.get(target)
        assert not {"server", "via", "x-powered-by"} & answer.headers.keys()
        assert answer.headers["x-content-type-options"] == "nosniff"
