"""Calls to other services: deadlines, retries of what is safe to retry, a circuit breaker."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from aula_common.breaker import CircuitBreaker
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger
from aula_common.requests import request_id
from aula_common.security.service_tokens import ServiceTokens
from aula_common.traced_calls import call_spans
from aula_common.traces import tracing

_log = get_logger(__name__)

_ATTEMPTS = 3
_BACKOFF_SECONDS = 0.1
_UNAUTHORIZED = 401
_SERVER_ERROR = 500
_RETRIED_STATUSES = frozenset({502, 503, 504})
_MAX_RETRY_AFTER = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other service said, below 500; `body` is the parsed JSON, or None."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether it was a success."""
        return self.status < 400  # noqa: PLR2004 - where HTTP's errors begin


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    json: Any
    form: Mapping[str, str] | None
    params: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    on_behalf_of: str | None


class _PassingError(UnavailableError):
    """The call was not answered, and the same call may be a moment later."""


def create_session() -> aiohttp.ClientSession:
    """The one HTTP client of a process; close it at the end."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
        trace_configs=[call_spans()] if tracing() else None,
    )


class ServiceClient:
    """Calls one service, with this service's own token if `tokens` is given.

    A call that was not answered (no connection, deadline, 5xx, open breaker) raises
    UnavailableError naming the service; an answer below 500 is returned whatever it says.
    """

    def __init__(
        self,
        *,
        audience: str,
        base_url: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        tokens: ServiceTokens | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._audience = audience
        self._base_url = base_url.rstrip("/")
        self._session = session
        self._tokens = tokens
        self._breaker = breaker or CircuitBreaker(
            dependency=audience, clock=clock, failures=10, reset_after=2
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        on_behalf_of: str | None = None,
        deadline: float = 5,
        retry: bool = False,
    ) -> Answer:
        """Ask once, or with `retry` up to three times within `deadline` seconds over all.

        Retry only what may be repeated: reads, and what is idempotent by an id of ours. Tried
        again are a lost connection, 502, 503, 504, and 401 (with a new token of our own).
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + deadline
        call = _Call(method, path, json, form, params, headers, on_behalf_of)
        for attempt in range(1, _ATTEMPTS):
            try:
                return await self._attempt(call, ends_at)
            except _PassingError:
                pause = random.uniform(0.5, 1) * _BACKOFF_SECONDS * 2**attempt  # noqa: S311 - jitter is no secret
                if not retry or loop.time() + pause >= ends_at:
                    raise
            await asyncio.sleep(pause)
        return await self._attempt(call, ends_at)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        on_behalf_of: str | None = None,
        connect_deadline: float = 5,
        idle_deadline: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET an answer that is read as it comes, closed at the end of the block.

        UnavailableError if its head does not arrive in `connect_deadline` seconds, is a 5xx, or
        a 401 to our own token; the body may be silent for `idle_deadline` seconds (then aiohttp's
        SocketTimeoutError).
        """
        ends_at = asyncio.get_running_loop().time() + connect_deadline
        token = await self._token(ends_at)
        self._breaker.check()
        try:
            async with asyncio.timeout_at(ends_at):
                response = await self._session.get(
                    self._base_url + path,
                    params=params,
                    headers=_headers(headers, on_behalf_of, token),
                    timeout=aiohttp.ClientTimeout(total=None, sock_read=idle_deadline),
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(path, error) from error
        try:
            self._judge(path, response.status, response.headers, token)
            yield response
        finally:
            response.close()

    async def _attempt(self, call: _Call, ends_at: float) -> Answer:
        # first the token: its absence is auth's failure and not that of the service called
        token = await self._token(ends_at)
        self._breaker.check()
        headers = _headers(call.headers, call.on_behalf_of, token)
        data: Any = call.form
        if call.json is not None:
            data = msgspec.json.encode(call.json)
            headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout_at(ends_at),
                self._session.request(
                    call.method,
                    self._base_url + call.path,
                    data=data,
                    params=call.params,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                raw = await response.read()
            answer = Answer(response.status, _parse(raw, response), response.headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._lost(call.path, error) from error
        self._judge(call.path, answer.status, answer.headers, token)
        return answer

    async def _token(self, ends_at: float) -> str | None:
        if self._tokens is None:
            return None
        try:
            async with asyncio.timeout_at(ends_at):
                return await self._tokens.token(self._audience)
        except TimeoutError as error:
            raise UnavailableError("auth") from error

    def _lost(self, path: str, error: Exception) -> UnavailableError:
        """The error of a call that was not answered; worth a retry unless its time is over."""
        self._breaker.failed()
        _log.warning("call failed", to=self._audience, path=path, error=type(error).__name__)
        kind = UnavailableError if isinstance(error, TimeoutError) else _PassingError
        return kind(self._audience)

    def _judge(self, path: str, status: int, headers: Mapping[str, str], token: str | None) -> None:
        """Raise for an answer that is none; tell the breaker."""
        if status in _RETRIED_STATUSES:
            self._breaker.failed()
        else:
            self._breaker.succeeded()  # a 500 too is an answer: one poisonous call is not an outage
        if status == _UNAUTHORIZED and self._tokens is not None:
            _log.warning("our token was refused", to=self._audience, path=path)
            self._tokens.forget(self._audience, token)
            raise _PassingError(self._audience, retry_after=1)
        if status >= _SERVER_ERROR:
            _log.warning("call refused", to=self._audience, path=path, status=status)
            kind = _PassingError if status in _RETRIED_STATUSES else UnavailableError
            raise kind(self._audience, retry_after=_retry_after(headers))


def _headers(
    headers: Mapping[str, str] | None, on_behalf_of: str | None, token: str | None
) -> dict[str, str]:
    result = dict(headers or {})
    if (current := request_id.get()) is not None:
        result["X-Request-Id"] = current
    if on_behalf_of is not None:
        result["X-On-Behalf-Of"] = on_behalf_of
    if token is not None:
        result["Authorization"] = f"Bearer {token}"
    return result


def _parse(raw: bytes, response: aiohttp.ClientResponse) -> Any:
    if not raw or "json" not in response.content_type:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise aiohttp.ClientPayloadError("the answer is not the JSON it says") from error


def _retry_after(headers: Mapping[str, str]) -> int:
    value = headers.get("Retry-After", "")
    return min(int(value), _MAX_RETRY_AFTER) if re.fullmatch(r"[0-9]{1,9}", value) else 5
