"""A collector of traces for tests: OTLP over HTTP, as protobuf, on a real socket."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import Tracer

from aula_common import traces

# spans at once, so that a test need not wait for a timer
QUICK_SPANS = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@dataclass(frozen=True, kw_only=True)
class CollectedSpan:
    """A span as it came over the wire; ids are hexadecimal, `start` and `end` nanoseconds."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    events: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """Trace id and span id of each."""
    failed: bool
    start: int
    end: int


class TraceCollector:
    """What was received, for a test to look at. `frozen`: it accepts connections and is silent."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.frozen = False
        self.asked = threading.Event()
        self._spans: list[CollectedSpan] = []
        self._bodies: list[bytes] = []
        self._thaw = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a service's spans here."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, **QUICK_SPANS}

    @property
    def spans(self) -> list[CollectedSpan]:
        """All that came so far, in the order in which they came."""
        return list(self._spans)

    @property
    def bytes_received(self) -> bytes:
        """All requests' bodies, to look for what must not be in them."""
        return b"\n".join(self._bodies)

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    async def wait_for(
        self, found: Callable[[CollectedSpan], bool], *, within: float = 20
    ) -> CollectedSpan:
        """The first such span, once it came; AssertionError if it never does."""
        ends = asyncio.get_running_loop().time() + within
        while not (spans := [span for span in self.spans if found(span)]):
            names = sorted({f"{span.service} {span.name}" for span in self.spans})
            if asyncio.get_running_loop().time() > ends:
                raise AssertionError(f"no such span; there are {names}")
            await asyncio.sleep(0.02)
        return spans[0]

    def receive(self, body: bytes) -> None:
        """Take one request's body; called in the server's threads."""
        self.asked.set()
        if self.frozen:
            self._thaw.wait()
            return
        self._bodies.append(body)
        self._spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))

    def thaw(self) -> None:
        """Let go of whoever was kept waiting."""
        self._thaw.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    collector: TraceCollector

    def do_POST(self) -> None:
        """One export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        right = self.path == "/v1/traces"
        right = right and self.headers["Content-Type"] == "application/x-protobuf"
        if right:
            self.collector.receive(body)
        self.send_response(200 if right else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone, as tests have them do."""


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """A collector on a port of its own, closed at the end of the block."""

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        Handler.collector = collector = TraceCollector(server.server_address[1])
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        serving.start()
        try:
            yield collector
        finally:
            collector.thaw()
            server.shutdown()
            serving.join()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceCollector]:
    """A collector to which applications of this process send; none traces afterwards."""
    with trace_collector() as made:
        monkeypatch.setattr(traces._Process, "tracer", None)  # noqa: SLF001 - to put it back
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made
        made.thaw()
        tracer = traces._Process.tracer  # noqa: SLF001
        if isinstance(tracer, Tracer):
            tracer.span_processor.shutdown()


def _spans(request: ExportTraceServiceRequest) -> Iterator[CollectedSpan]:
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name"))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    service=service,
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes=_attributes(span.attributes),
                    events=tuple(event.name for event in span.events),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(one) for one in value.array_value.values)
    return None if kind is None else getattr(value, kind)
