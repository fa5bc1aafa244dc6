"""Calls to other services: deadlines, retries of what is safe to retry, a circuit breaker."""

import asyncio
import random
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


def create_session() -> aiohttp.ClientSession:
    """The one HTTP client of a process; close it at the end."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
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

        Retry only what may be repeated: reads, and what is idempotent by an id of ours.
        """
        try:
            async with asyncio.timeout(deadline):
                for attempt in range(1, _ATTEMPTS + 1):
                    try:
                        return await self._attempt(
                            method, path, json, form, params, headers, on_behalf_of
                        )
                    except UnavailableError:
                        if not retry or attempt == _ATTEMPTS:
                            raise
                    await asyncio.sleep(random.uniform(0.5, 1) * _BACKOFF_SECONDS * 2**attempt)  # noqa: S311 - jitter is no secret
        except TimeoutError:
            self._breaker.failed()
            raise UnavailableError(self._audience) from None
        raise AssertionError("the last attempt either returns or raises")

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

        UnavailableError if its head does not arrive in `connect_deadline` seconds or is a 5xx;
        the body may be silent for `idle_deadline` seconds (then aiohttp's SocketTimeoutError).
        """
        self._breaker.check()
        all_headers = await self._headers(headers, on_behalf_of)
        timeout = aiohttp.ClientTimeout(total=None, sock_read=idle_deadline)
        try:
            async with asyncio.timeout(connect_deadline):
                response = await self._session.get(
                    self._base_url + path,
                    params=params,
                    headers=all_headers,
                    timeout=timeout,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._breaker.failed()
            raise UnavailableError(self._audience) from error
        try:
            if response.status >= _SERVER_ERROR:
                self._breaker.failed()
                raise UnavailableError(self._audience)
            self._breaker.succeeded()
            yield response
        finally:
            response.close()

    async def _attempt(  # noqa: PLR0917 - private; the call's own parameters, passed through
        self,
        method: str,
        path: str,
        json: Any,
        form: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        on_behalf_of: str | None,
    ) -> Answer:
        self._breaker.check()
        all_headers = await self._headers(headers, on_behalf_of)
        data: Any = form
        if json is not None:
            data = msgspec.json.encode(json)
            all_headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method,
                self._base_url + path,
                data=data,
                params=params,
                headers=all_headers,
                allow_redirects=False,
            ) as response:
                raw = await response.read()
                answer = Answer(response.status, _parse(raw, response), response.headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._breaker.failed()
            _log.warning("call failed", to=self._audience, path=path, error=type(error).__name__)
            raise UnavailableError(self._audience) from error
        if answer.status == _UNAUTHORIZED and self._tokens is not None:
            self._tokens.forget(self._audience)
            raise UnavailableError(self._audience, retry_after=1)
        if answer.status >= _SERVER_ERROR:
            if answer.status in _RETRIED_STATUSES:
                self._breaker.failed()
            _log.warning("call refused", to=self._audience, path=path, status=answer.status)
            raise UnavailableError(self._audience, retry_after=_retry_after(answer))
        self._breaker.succeeded()
        return answer

    async def _headers(
        self, headers: Mapping[str, str] | None, on_behalf_of: str | None
    ) -> dict[str, str]:
        result = dict(headers or {})
        if (current := request_id.get()) is not None:
            result["X-Request-Id"] = current
        if on_behalf_of is not None:
            result["X-On-Behalf-Of"] = on_behalf_of
        if self._tokens is not None:
            result["Authorization"] = f"Bearer {await self._tokens.token(self._audience)}"
        return result


def _parse(raw: bytes, response: aiohttp.ClientResponse) -> Any:
    if not raw or "json" not in response.content_type:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise aiohttp.ClientPayloadError("the answer is not the JSON it says") from error


def _retry_after(answer: Answer) -> int:
    value = answer.headers.get("Retry-After", "")
    return min(int(value), _MAX_RETRY_AFTER) if value.isdecimal() else 5
