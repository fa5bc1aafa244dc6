"""Pure ASGI middleware: what wraps each request without touching its stream."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aula_common.errors import AulaError, PayloadTooLargeError, UnavailableError
from aula_common.ids import new_id
from aula_common.logging import get_logger
from aula_common.metrics import Metrics
from aula_common.requests import request_id
from aula_common.traces import tracing
from aula_common.web.drain import Drain
from aula_common.web.problems import problem_response
from aula_common.web.traced_requests import RequestSpan

_log = get_logger(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/health", "/api/health"})


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


class RequestContext:
    """Outermost: a request's id, span, log line and metrics, and the last catch of an error."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._traced = tracing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id")
        current = given.decode() if given and _REQUEST_ID.fullmatch(given) else new_id("req")
        token = request_id.set(current)
        traced = self._traced and scope["path"] not in QUIET_PATHS
        span = RequestSpan(scope, request_id=current) if traced else None
        started = time.monotonic()
        status = 0
        first_byte = 0.0
        broken_by: str | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status, first_byte
            if message["type"] == "http.response.start":
                status = message["status"]
                first_byte = time.monotonic() - started
                headers = [*message.get("headers", []), (b"x-request-id", current.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            broken_by = type(error).__name__
            _log.exception("unexpected error", method=scope["method"], path=scope["path"])
            if status == 0:
                await problem_response(AulaError())(scope, receive, send_with_id)
            else:
                raise
        finally:
            self._record(scope, status, first_byte, time.monotonic() - started)
            if span is not None:
                route = getattr(scope.get("route"), "path", None)
                span.end(route=route, status=status, error=broken_by)
            request_id.reset(token)

    def _record(self, scope: Scope, status: int, first_byte: float, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.count_request(scope["method"], route, status, first_byte)
        if scope["path"] not in QUIET_PATHS:
            _log.info(
                "request",
                method=scope["method"],
                route=route,
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )


class BodyLimit:
    """Refuses a body that is too large, chunked too, or that dawdles past a deadline."""

    def __init__(self, app: ASGIApp, *, limit: int, deadline: float = 30) -> None:
        self._app = app
        self._limit = limit
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = _header(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared[:20]) > self._limit:
            await problem_response(PayloadTooLargeError(self._limit))(scope, receive, send)
            return
        await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Callable[[], Awaitable[Message]]:
        ends_at = time.monotonic() + self._deadline
        read = 0
        complete = False

        async def bounded() -> Message:
            nonlocal read, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, ends_at - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if read > self._limit:
                    raise HTTPException(413)
            return message

        return bounded


class RefuseWhileDraining:
    """Answers 503 to what arrives after the drain began; probes and running requests go on.

    The drain waits for running requests, but not for event streams: those end with the work
    that feeds them, or when they see the drain.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in QUIET_PATHS:
            await self._app(scope, receive, send)
            return
        if self._drain.active:
            error = UnavailableError("this instance", retry_after=1)
            error.headers["Connection"] = "close"
            await problem_response(error)(scope, receive, send)
            return
        release = self._drain.hold()

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_event_stream(message):
                release()
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        finally:
            release()


def _is_event_stream(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
