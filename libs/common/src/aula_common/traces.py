"""Traces by OpenTelemetry: off, and free, unless there is an address to send them to.

While they are off neither the tracing SDK nor the exporter is imported, and no span is made: what
makes one for each request or stream is put into its place by `tracing()`, when a process is put
together. No text of a message, no query of an address and no credential goes into a span.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aula_common.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Span", "SpanKind"]  # for services, which know nothing of OpenTelemetry

Attributes = Mapping[str, str | int | float | bool | tuple[str, ...]]
_Application = TypeVar("_Application")

_FLUSH_SECONDS = 2.0
_HEADERS = frozenset({b"traceparent", b"tracestate"})
_MAX_HEADER = 512  # so much of a tracestate is to be passed on at least; a traceparent has 55
_propagator = TraceContextTextMapPropagator()


class _Process:
    """What this process traces with; nothing while traces are off."""

    tracer: trace.Tracer | None = None


def tracing() -> bool:
    """Whether this process makes spans; fixed from the making of its application on."""
    return _Process.tracer is not None


def start_traces(service: str, version: str, settings: TraceSettings) -> "TracerProvider | None":
    """Send this process's spans to the collector that the environment names; None if none is.

    Sampling, headers, queue and deadlines are the SDK's own variables. Spans are sent by a thread
    of the SDK's and from a bounded queue: a collector that is away costs spans and nothing else.
    """
    if not settings.wanted:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - memory
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - and start time, when off
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"aula-{service}", "service.version": version}),
        shutdown_on_exit=False,  # it would wait for a frozen collector; `flushed_after` doesn't
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    # not OpenTelemetry's global one, which libraries that trace by themselves would find
    _Process.tracer = provider.get_tracer("aula", version)
    return provider


def flushed_after(
    lifespan: Callable[[_Application], AbstractAsyncContextManager[None]],
    provider: "TracerProvider",
) -> Callable[[_Application], AbstractAsyncContextManager[None]]:
    """The same lifespan, after which what is left of spans is sent, for two seconds at most."""

    @asynccontextmanager
    async def flushed(app: _Application) -> AsyncIterator[None]:
        try:
            async with lifespan(app):
                yield
        finally:
            await _within(_FLUSH_SECONDS, provider.shutdown)

    return flushed


async def _within(seconds: float, work: Callable[[], None]) -> None:
    """Run blocking work in a thread that the process's end does not wait for."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="flush spans", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()


def begin(
    name: str,
    attributes: Attributes,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
    link: str | None = None,
) -> Span:
    """A new span, to be ended by whoever began it; one that holds nothing while traces are off.

    It is a child of the current one unless a `parent` is given, and may `link` to the span that a
    `traceparent` names.
    """
    if _Process.tracer is None:
        return trace.INVALID_SPAN
    linked = _span_of(received([(b"traceparent", link.encode())])) if link else None
    return _Process.tracer.start_span(
        name,
        parent,
        kind,
        attributes,
        links=[Link(linked.get_span_context())] if linked else None,
        record_exception=False,
        set_status_on_exception=False,
    )


def current(span: Span) -> AbstractContextManager[Span]:
    """Have spans that begin inside be the children of this one, in tasks started there too."""
    # an error's own text may quote what a person wrote
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


@contextmanager
def spanned(name: str, attributes: Attributes, *, link: str | None = None) -> Iterator[Span]:
    """A span around the block, for what is rare: it is asked for while traces are off, too."""
    span = begin(name, attributes, link=link)
    try:
        with current(span):
            yield span
    except Exception as error:
        fail(span, type(error).__name__)
        raise
    finally:
        span.end()


def fail(span: Span, reason: str) -> None:
    """Mark it as failed, for a reason that is one of few words."""
    span.set_attribute("error.type", reason)
    span.set_status(StatusCode.ERROR)


def received(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Where the trace of a request goes on, by its W3C headers; nowhere if they are malformed."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in _HEADERS:
            key = name.decode()
            if key in found or len(value) > _MAX_HEADER:
                return Context()
            found[key] = value.decode("latin-1")
    return _propagator.extract(found, Context())


def send_along(headers: MutableMapping[str, str], span: Span) -> None:
    """Put the W3C headers of that span into those of a request."""
    _propagator.inject(headers, trace.set_span_in_context(span, Context()))


def traceparent() -> str | None:
    """The current span as W3C writes it, to be kept with what outlives it; None without one."""
    if _Process.tracer is None or (span := inside()) is None:
        return None
    headers: dict[str, str] = {}
    send_along(headers, span)
    return headers["traceparent"]


def inside() -> Span | None:
    """The current span, if there is one."""
    return _span_of(None)


def trace_ids() -> Mapping[str, str] | None:
    """What a log line says of the current span."""
    if _Process.tracer is None or (span := inside()) is None:
        return None
    context = span.get_span_context()
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def _span_of(context: Context | None) -> Span | None:
    span = trace.get_current_span(context)
    return span if span.get_span_context().is_valid else None
