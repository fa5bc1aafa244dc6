"""One stream is one trace: client, gateway, chat, accounting, model; and what breaks none of it."""

import json
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from e2e_people import People, Person, Shown, collect, eventually, people_of

from aula_devstack.environment import SERVICES
from aula_devstack.platform import Platform
from aula_devstack.servers.service import Service
from aula_devstack.testing.trace_collector import CollectedSpan, TraceCollector, trace_collector

AWAY = "http://127.0.0.1:9"
HEAVY = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf")
SHORT = "What is a prime? [[tokens=10]]"
ASKED = "POST /api/chat/sessions/{session_id}/stream"
FINALIZED = "POST /streaming/finalize"
LONG = "Tell me a long story. [[tokens=400]] [[pace=25]]"


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    """What every service of this module's platform sends to."""
    with trace_collector() as made:
        yield made


@pytest.fixture(scope="module")
def traced(make_platform: Callable[..., Platform], collector: TraceCollector) -> Iterator[Platform]:
    """A platform that traces."""
    made = make_platform(environment=collector.environment)
    yield made
    made.stop()


class Client:
    """A client that traces itself: each of its calls is a span of one trace."""

    def __init__(self) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}

    async def wait_for(self, collector: TraceCollector, service: str, name: str) -> CollectedSpan:
        """That span of its trace."""
        sought = (self.trace_id, f"aula-{service}", name)
        return await collector.wait_for(
            lambda span: (span.trace_id, span.service, span.name) == sought
        )


def tree(spans: list[CollectedSpan]) -> set[tuple[str, ...]]:
    """The ways from the root to each span, by service and name."""
    known = {span.span_id: span for span in spans}

    def way(span: CollectedSpan) -> tuple[str, ...]:
        above = way(known[span.parent_id]) if span.parent_id in known else ()
        return (*above, f"{span.service.removeprefix('aula-')}: {span.name}")

    return {way(span) for span in spans}


def uses_protobuf(service: Service) -> bool:
    """Whether the exporter's codec is in the process's memory."""
    return "_upb/" in Path(f"/proc/{service.pid}/maps").read_text()


async def test_one_stream_is_one_trace(traced: Platform, collector: TraceCollector) -> None:
    client = Client()
    async with people_of(traced) as people:
        student = await people.student()
        session_id = await student.new_session()
        shown = await student.ask(session_id, SHORT, **client.headers)
        assert shown.terminal["event"] == "complete"
        for service, name in (("chat", "stream"), ("chat", ASKED), ("accounting", FINALIZED)):
            await client.wait_for(collector, service, name)
    spans = collector.trace(client.trace_id)
    request = f"chat: {ASKED}"
    # the token that chat shows to accounting may have been fetched just now
    ways = {way for way in tree(spans) if not any("/api/auth/" in name for name in way)}
    assert ways == {
        (request,),
        (request, "chat: stream"),
        (request, "chat: stream", "chat: POST"),
        (request, "chat: stream", "chat: POST", "accounting: POST /streaming/initialize"),
        (request, "chat: stream", "chat: POST", f"accounting: {FINALIZED}"),
        (request, "chat: stream", "chat: chat anthropic.claude-3-sonnet-20240229-v1:0"),
    }
    [root] = [span for span in spans if span.name == ASKED]
    assert root.parent_id == client.span_id
    lines = [json.loads(line) for line in traced.chat.log_file.read_text().splitlines()]
    logged = [line for line in lines if line.get("trace_id") == client.trace_id]
    assert {line["span_id"] for line in logged if line["event"] == "request"} == {root.span_id}


async def test_a_supervisor_s_look_is_one_trace_through_monitoring(
    traced: Platform, collector: TraceCollector
) -> None:
    client = Client()
    async with people_of(traced) as people:
        student, supervisor = await people.student(), await people.supervisor()
        await people.relate(supervisor, student)
        path = f"/api/monitoring/students/{student.id}/sessions"
        await supervisor.call("GET", path, 200, headers=client.headers)
        await client.wait_for(
            collector, "monitoring", "GET /api/monitoring/students/{student_id}/sessions"
        )
        chat = await collector.wait_for(
            lambda span: span.trace_id == client.trace_id and span.service == "aula-chat"
        )
        call = await collector.wait_for(lambda span: span.span_id == chat.parent_id)
    assert (call.service, call.kind) == ("aula-monitoring", "client")


async def test_who_recovers_a_stream_links_to_its_trace(
    traced: Platform, collector: TraceCollector
) -> None:
    client = Client()
    async with people_of(traced) as people:
        student = await people.student(granted=50)
        session_id = await student.new_session()

        async def ask_until_killed() -> None:
            chunks = 0
            async for event in student.asking(session_id, LONG, **client.headers):
                chunks += event.event == "chunk"
                if chunks == 10:
                    traced.chat.kill()

        with pytest.raises(httpx.HTTPError):
            await ask_until_killed()
        traced.chat.start()
        recovery = await collector.wait_for(lambda span: span.name == "recover")
    [(trace_id, span_id)] = recovery.links
    assert trace_id == client.trace_id
    assert re.fullmatch("[0-9a-f]{16}", span_id)
    assert recovery.trace_id != client.trace_id
    assert recovery.attributes["aula.session_id"] == session_id
    assert recovery.attributes["aula.fence"] == 2
    children = [span for span in collector.spans if span.parent_id == recovery.span_id]
    assert {span.attributes["url.full"].rpartition("/")[2] for span in children} >= {"abort"}


@pytest.mark.parametrize("collector_is", ["frozen", "away"])
async def test_a_collector_that_takes_nothing_costs_no_stream_and_no_end(
    platform: Platform, people: People, collector_is: str
) -> None:
    student = await people.student(granted=100)
    with trace_collector() as collector:
        collector.frozen = True
        replica = platform.add_replica(
            "chat",
            environment={
                **collector.environment,
                **({} if collector_is == "frozen" else {"OTEL_EXPORTER_OTLP_ENDPOINT": AWAY}),
                # who waited for it would wait an hour; and soon nothing more has room
                "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
                "OTEL_BSP_MAX_QUEUE_SIZE": "4",
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
            },
        )
        for _ in range(5):
            assert (await answered_by(replica, student)).terminal["event"] == "complete"
        if collector_is == "frozen":
            assert collector.asked.is_set()  # and it has not answered
        else:
            assert "Transient error" in replica.log_file.read_text()
        assert "Queue full" in replica.log_file.read_text()
        assert (await answered_by(replica, student)).terminal["event"] == "complete"
        replica.send_signal(signal.SIGTERM)

        async def ended() -> bool:
            return not replica.running

        await eventually(ended, within=25)  # the SDK's own end waits for half a minute
        assert replica.exit_status == 0
        assert not collector.spans


async def answered_by(replica: Service, student: Person) -> Shown:
    """A whole answer from this process."""
    path = f"/api/chat/sessions/{await student.new_session()}/stream"
    body = {"message": SHORT}
    return await collect(student.events("POST", path, base_url=replica.url, json=body))


@pytest.mark.parametrize("service", SERVICES)
def test_off_neither_the_tracing_sdk_nor_the_exporter_is_imported(
    platform: Platform, service: str
) -> None:
    program = (
        f"import sys; from aula_{service}.main import create_app; create_app()\n"
        "print(*(name for name in sys.modules if name.startswith(tuple(sys.argv[1:]))))"
    )

    def imported(environment: dict[str, str]) -> set[str]:
        command = [sys.executable, "-c", program, *HEAVY]
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        return set(done.stdout.split())

    environment = platform.parts.services[service].full_environment()
    assert imported(environment) == set()
    assert imported({**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": AWAY}) >= {*HEAVY}


async def test_off_no_process_has_the_exporter_in_memory(
    platform: Platform, traced: Platform, people: People
) -> None:
    student = await people.student()
    await student.ask(await student.new_session(), SHORT)
    for service in SERVICES:
        assert not uses_protobuf(platform.parts.services[service]), service
        assert uses_protobuf(traced.parts.services[service]), service
