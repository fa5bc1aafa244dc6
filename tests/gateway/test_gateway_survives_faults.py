"""Services that are away, replicas that die, clients that dawdle or send too much."""

import asyncio
import time
from pathlib import Path

from gateway.gateway_stack import (
    PATIENCE,
    Received,
    Stack,
    read_answer,
    request_bytes,
    running_stack,
    until,
)


async def test_a_service_that_is_away_is_503_with_a_problem_and_comes_back_by_itself(
    stack: Stack,
) -> None:
    for name, path in (("auth", "/api/auth/me"), ("chat", "/api/chat/sessions")):
        service = stack.services[name]
        await service.stop()
        started = time.monotonic()
        answer = await stack.get(path, X_Request_Id="one")
        assert time.monotonic() - started < 6
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        problem = answer.problem()
        assert problem["code"] == "unavailable"
        assert problem["requestId"] == "one"
        await service.start()
        assert (await stack.get(path)).status == 200


async def test_a_service_s_own_503_is_passed_on_as_it_is(stack: Stack) -> None:
    async def refuse(
        _request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(
            b"HTTP/1.1 503 X\r\nContent-Type: application/problem+json\r\nRetry-After: 2\r\n"
            b'Content-Length: 18\r\n\r\n{"code": "theirs"}'
        )

    stack.services["auth"].handler = refuse
    answer = await stack.get("/api/auth/me")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.problem() == {"code": "theirs"}
    assert len(stack.services["auth"].received) == 1


async def test_of_two_replicas_the_living_one_serves_all(tmp_path: Path) -> None:
    async with running_stack(tmp_path, chats=2) as stack:
        for _ in range(10):
            assert (await stack.get("/api/chat/sessions", method="POST")).status == 200
        assert all(stack.services[name].received for name in ("chat", "chat2"))
        await stack.services["chat"].stop()
        for _ in range(10):
            assert (await stack.get("/api/chat/sessions", method="POST")).status == 200


async def test_a_replica_that_drains_gets_nothing_new(tmp_path: Path) -> None:
    async with running_stack(tmp_path, chats=2) as stack:
        draining = stack.services["chat"]
        draining.ready = False
        seen = draining.probes
        await until(lambda: draining.probes >= seen + 2)
        before = len(draining.received)
        for _ in range(6):
            assert (await stack.get("/api/chat/sessions")).status == 200
        assert len(draining.received) == before


async def test_what_changes_something_is_never_sent_again(tmp_path: Path) -> None:
    async def die(
        _request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.transport.abort()

    async with running_stack(tmp_path, chats=2) as stack:
        replicas = [stack.services["chat"], stack.services["chat2"]]
        for replica in replicas:
            replica.handler = die
        cases = [("POST", b"{}"), ("POST", None), ("PUT", b"{}"), ("DELETE", None)]
        for number, (method, body) in enumerate(cases, start=1):
            answer = await stack.send(request_bytes("/api/chat/sessions", method=method, body=body))
            assert answer.status == 503
            assert answer.problem()["code"] == "unavailable"
            assert sum(len(replica.received) for replica in replicas) == number


async def test_a_client_that_dawdles_over_its_headers_is_cut(stack: Stack) -> None:
    reader, writer = await stack.connect()
    writer.write(b"GET /api/auth/me HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    started = time.monotonic()
    async with asyncio.timeout(20):
        await reader.read()
    assert 5 < time.monotonic() - started < 15
    assert stack.reached() == []
    writer.close()


async def test_too_large_headers_and_bodies_are_refused(stack: Stack) -> None:
    assert (await stack.get("/api/auth/me", X_Large="x" * 100_000)).status == 431
    reader, writer = await stack.connect()
    writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    writer.write(b"Content-Length: 50000000\r\n\r\n" + b"x" * 6_000_000)
    async with asyncio.timeout(PATIENCE):
        answer = await read_answer(reader)
    assert answer.status == 413
    assert answer.problem()["code"] == "payload_too_large"
    writer.close()
    assert stack.services["auth"].received == []


async def test_too_large_a_body_without_a_length_is_refused(stack: Stack) -> None:
    reader, writer = await stack.connect()
    writer.write(
        b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(6):
        writer.write(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = await read_answer(reader)
    assert answer.status == 413
    writer.close()
    assert stack.services["auth"].received == []


async def test_ambiguous_lengths_are_refused(stack: Stack) -> None:
    smuggled = b"0\r\n\r\nGET /api/auth/users HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for lengths in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ):
        head = b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lengths + b"\r\n"
        answer = await stack.send(head + smuggled)
        assert answer.status in {400, 501}
    assert stack.reached() == []
