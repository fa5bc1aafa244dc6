"""Spans of requests and of calls, as a collector receives them over a real socket."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from common_builders import ask, build_app, serve
from fastapi import APIRouter, Request, Response
from structlog.testing import capture_logs

from aula_common import traces
from aula_common.clock import SystemClock
from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient, create_session
from aula_common.web.sse import EventStreamResponse, sse_frame
from aula_devstack.testing.trace_collector import TraceCollector

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"

router = APIRouter()


@router.get("/notes/{note_id}")
async def read_note(note_id: str) -> None: ...


@router.get("/bug")
async def bug() -> None:
    raise ValueError("the password is hunter2")


@router.get("/events")
async def events(request: Request) -> Response:
    async def write() -> AsyncIterator[bytes]:
        yield sse_frame({"number": 1})
        await request.app.state.go_on.wait()
        yield sse_frame({"number": 2})

    return EventStreamResponse(write())


@router.get("/further")
async def further(request: Request, port: int) -> Response:
    async with create_session() as session:
        url = f"http://127.0.0.1:{port}"
        client = ServiceClient(audience="far", base_url=url, session=session, clock=SystemClock())
        try:
            await client.request("GET", "/seen", params={"ticket": "hunter2"}, retry=True)
        except UnavailableError:
            return Response(status_code=503)
    return Response()


async def fetch(port: int, path: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        await response.read()
        return response.status


async def test_a_caller_s_trace_goes_on_in_a_span_named_by_the_route(
    collector: TraceCollector,
) -> None:
    async with serve(build_app(router)) as port:
        await fetch(port, "/notes/n1?q=hunter2", traceparent=CALLER, **{"X-Request-Id": "r1"})
        span = await collector.wait_for(lambda span: span.kind == "server")
    assert (span.service, span.name) == ("aula-common", "GET /notes/{note_id}")
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["http.route"] == "/notes/{note_id}"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["aula.request_id"] == "r1"
    assert not span.failed
    assert b"hunter2" not in collector.bytes_received
    assert b"n1" not in collector.bytes_received


@pytest.mark.parametrize(
    "headers",
    [
        "traceparent: ",
        f"traceparent: 00-{TRACE}-{SPAN}",
        f"traceparent: 00-{TRACE.upper()}-{SPAN}-01",
        f"traceparent: 00-{'0' * 32}-{SPAN}-01",
        f"traceparent: 00-{TRACE}-{'0' * 16}-01",
        f"traceparent: ff-{TRACE}-{SPAN}-01",
        f"traceparent: 00-{TRACE}-{SPAN}-01-more",
        f"traceparent: 01-{TRACE}-{SPAN}-01-{'x' * 2000}",
        f"traceparent: {'0' * 60_000}",
        "traceparent: \xff\xfe",
        f"traceparent: {CALLER}\r\ntraceparent: {CALLER}",
        f"traceparent: {CALLER}\r\nTraceParent: 00-{TRACE[::-1]}-{SPAN}-01",
        f"traceparent: {CALLER}\r\ntracestate: a={'x' * 60_000}",
    ],
)
async def test_a_trace_header_that_is_none_is_ignored(
    collector: TraceCollector, headers: str
) -> None:
    request = f"GET /notes/1 HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n".encode("latin-1")
    async with serve(build_app(router)) as port:
        status, _, _ = await ask(port, request)
        span = await collector.wait_for(lambda span: span.kind == "server")
    assert status == 200
    assert span.parent_id == ""
    assert span.trace_id != TRACE


async def test_a_caller_that_samples_nothing_gets_no_spans(collector: TraceCollector) -> None:
    async with serve(build_app(router)) as port:
        await fetch(port, "/notes/1", traceparent=f"00-{TRACE}-{SPAN}-00")
        await fetch(port, "/livez")
        await fetch(port, "/notes/2")
        await collector.wait_for(lambda span: span.kind == "server")
    assert [span.trace_id == TRACE for span in collector.spans] == [False]


async def test_the_span_of_an_event_stream_lasts_until_its_last_event(
    collector: TraceCollector,
) -> None:
    app = build_app(router)
    app.state.go_on = asyncio.Event()
    async with (
        serve(app) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/events") as response,
    ):
        await response.content.readuntil(b"\n\n")
        await fetch(port, "/notes/1")  # ends later than the stream's head went out
        await collector.wait_for(lambda span: span.name == "GET /notes/{note_id}")
        assert not [span for span in collector.spans if span.name == "GET /events"]
        released = time.time_ns()
        app.state.go_on.set()
        await response.read()
        span = await collector.wait_for(lambda span: span.name == "GET /events")
    assert span.end >= released


async def test_an_error_marks_the_span_and_tells_it_nothing(collector: TraceCollector) -> None:
    with capture_logs():  # a traceback costs seconds to print
        async with serve(build_app(router)) as port:
            assert await fetch(port, "/bug") == 500
            assert await fetch(port, "/nowhere/hunter2") == 404
            bug = await collector.wait_for(lambda span: span.name == "GET /bug")
            lost = await collector.wait_for(lambda span: span.name == "GET")
    assert bug.failed
    assert bug.attributes["error.type"] == "ValueError"
    assert bug.attributes["http.response.status_code"] == 500
    assert not lost.failed  # a caller's mistake is no failure of ours
    assert b"hunter2" not in collector.bytes_received


async def test_each_attempt_of_a_call_has_a_span_and_carries_the_trace_on(
    collector: TraceCollector,
) -> None:
    seen: list[str] = []

    async def far(scope: dict[str, object], receive: object, send: object) -> None:
        headers = dict(scope["headers"])  # type: ignore[call-overload]  # ASGI's scope is untyped
        seen.append(f"{headers[b'traceparent'].decode()} {headers[b'tracestate'].decode()}")
        status = 503 if len(seen) == 1 else 200
        await send({"type": "http.response.start", "status": status, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    async with serve(far, lifespan="off") as far_port, serve(build_app(router)) as port:
        path = f"/further?port={far_port}"
        assert await fetch(port, path, traceparent=CALLER, tracestate="a=1") == 200
        server = await collector.wait_for(lambda span: span.kind == "server")
        await collector.wait_for(
            lambda span: span.attributes.get("http.response.status_code") == 200
        )
    calls = [span for span in collector.trace(TRACE) if span.kind == "client"]
    assert [span.parent_id for span in calls] == [server.span_id] * 2
    assert [span.attributes["http.response.status_code"] for span in calls] == [503, 200]
    assert [span.failed for span in calls] == [True, False]
    assert {span.attributes["url.full"] for span in calls} == {f"http://127.0.0.1:{far_port}/seen"}
    assert seen == [f"00-{TRACE}-{span.span_id}-01 a=1" for span in calls]
    assert b"hunter2" not in collector.bytes_received


async def test_a_call_that_nobody_answers_is_a_failed_span(collector: TraceCollector) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        async with serve(build_app(router)) as port:
            assert await fetch(port, f"/further?port={nobody.getsockname()[1]}") == 503
            call = await collector.wait_for(lambda span: span.kind == "client")
    assert call.failed
    assert call.attributes["error.type"] == "ClientConnectorError"


async def test_a_call_outside_of_any_trace_begins_none(collector: TraceCollector) -> None:
    build_app(router)
    assert traces.tracing()
    seen: list[set[bytes]] = []

    async def far(scope: dict[str, object], receive: object, send: object) -> None:
        seen.append({name for name, _ in scope["headers"]})  # type: ignore[attr-defined]
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    async with serve(far, lifespan="off") as port, create_session() as session:
        url = f"http://127.0.0.1:{port}"
        client = ServiceClient(audience="far", base_url=url, session=session, clock=SystemClock())
        await client.request("GET", "/poll")
        with traces.spanned("work", {}):
            await client.request("GET", "/poll")
        await collector.wait_for(lambda span: span.kind == "client")
    assert [b"traceparent" in headers for headers in seen] == [False, True]
    assert len([span for span in collector.spans if span.kind == "client"]) == 1


async def test_what_waits_when_the_application_ends_is_sent(
    collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    app = build_app(router)
    async with app.router.lifespan_context(app), serve(app, lifespan="off") as port:
        await fetch(port, "/notes/1")
        assert not collector.spans
    assert [span.name for span in collector.spans] == ["GET /notes/{note_id}"]


async def test_a_frozen_collector_holds_up_neither_requests_nor_the_end(
    collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")  # who waits for it waits an hour
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector.frozen = True
    app = build_app(router)
    async with app.router.lifespan_context(app), serve(app, lifespan="off") as port:
        await fetch(port, "/notes/1")
        await asyncio.to_thread(collector.asked.wait)
        for number in range(30):
            assert await fetch(port, f"/notes/{number}") == 200
        began = time.monotonic()
    assert time.monotonic() - began < 20  # the SDK's own end waits for half a minute
    assert not collector.spans
