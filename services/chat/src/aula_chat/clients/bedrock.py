"""Amazon Bedrock behind the LanguageModel port: ConverseStream by aiobotocore."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import aiohttp
import structlog
from botocore.config import Config

from aula_chat.clients import bedrock_errors as errors
from aula_chat.clients.aws_session import lean_session
from aula_chat.clients.bedrock_request import converse_request
from aula_chat.clients.bedrock_stream import ConverseStream
from aula_chat.clients.pacer import Pacer
from aula_chat.domain.language_models import (
    ModelEvent,
    Prompt,
    ProviderInterruptedError,
    ProviderReason,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from aula_common.breaker import CircuitBreaker
from aula_common.clock import Clock
from aula_common.errors import UnavailableError

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0
_USER_AGENT = f"aula-chat/{version('aula-chat')}"

logger = structlog.get_logger()


class BedrockModel:
    """Every model of Bedrock, in one region, over one client; `async with` opens and closes it.

    Without an access key botocore's own chain of credentials is used (a role, a profile). Requests
    go to the region's address, unless botocore's variable AWS_ENDPOINT_URL_BEDROCK_RUNTIME names
    another.

    Durations are seconds. An attempt must connect within `connect_timeout` and show text within
    `first_text_timeout`; later no wait exceeds `idle_timeout`. After its first text an answer is
    read every `delta_every`; what comes meanwhile is one delta. There are at most `attempts`,
    with pauses that double from 0.2 s to 2 s, each shortened by a random part, and none begins
    later than `start_deadline` after the first did. At most `max_connections` streams run at once;
    further ones wait, within their own deadlines.

    Each model has a circuit breaker: after `breaker_failures` failed attempts in a row it is left
    alone for `breaker_reset_after`.
    """

    def __init__(
        self,
        *,
        region: str,
        clock: Clock,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        connect_timeout: float = 3.0,
        first_text_timeout: float = 20.0,
        idle_timeout: float = 20.0,
        delta_every: float = 0.0,
        start_deadline: float = 30.0,
        attempts: int = 3,
        max_connections: int = 1000,
        breaker_failures: int = 5,
        breaker_reset_after: float = 10.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._account = {
            "region_name": region,
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "aws_session_token": session_token,
        }
        self._config = Config(
            connect_timeout=connect_timeout,
            read_timeout=0,  # none: the deadlines below cover every wait, and cost less
            # retries are ours: within the deadline, and before the first event only
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=max_connections,
            parameter_validation=False,
            # botocore's own is put together anew twice for each request: a third millisecond
            user_agent=_USER_AGENT,
        )
        self._clock = clock
        self._first_text_timeout = first_text_timeout
        self._idle_timeout = idle_timeout
        self._pacer = Pacer(delta_every) if delta_every else None
        self._start_deadline = start_deadline
        self._attempts = attempts
        self._breaker_failures = breaker_failures
        self._breaker_reset_after = breaker_reset_after
        self._chance = chance
        self._breakers: dict[str, CircuitBreaker] = {}
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(
            lean_session().create_client("bedrock-runtime", config=self._config, **self._account)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client = None
        await self._stack.aclose()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """See LanguageModel.stream."""
        breaker = self._breaker(prompt.model_id)
        latest_start = self._clock.monotonic() + self._start_deadline
        attempt = 1
        while True:
            _check(breaker)
            try:
                async with aclosing(self._attempt(prompt, breaker)) as events:
                    async for event in events:
                        yield event
                return
            except ProviderUnavailableError as error:
                breaker.failed()
                pause = self._pause(attempt)
                _log(error, prompt=prompt, attempt=attempt)
                late = self._clock.monotonic() + pause > latest_start
                if attempt >= self._attempts or late or breaker.is_open:
                    raise
            except ProviderInterruptedError as error:
                breaker.failed()
                _log(error, prompt=prompt, attempt=attempt)
                raise
            except ProviderRejectedError as error:
                breaker.succeeded()  # it answered
                _log(error, prompt=prompt, attempt=attempt)
                raise
            await self._clock.sleep(pause)
            attempt += 1

    async def _attempt(
        self, prompt: Prompt, breaker: CircuitBreaker
    ) -> AsyncGenerator[ModelEvent, None]:
        deadline = asyncio.get_running_loop().time() + self._first_text_timeout
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.converse_stream(**converse_request(prompt))
        except errors.TRANSLATED as error:
            raise errors.translate(error) from error
        # aiobotocore's public iterator costs fifteen times our decoder, and hides the body
        raw = response["stream"]._raw_stream  # noqa: SLF001
        answered = False
        try:
            stream = ConverseStream(
                _Body(raw),
                first_deadline=deadline,
                idle_timeout=self._idle_timeout,
                pacer=self._pacer,
            )
            async with aclosing(stream.events()) as events:
                async for event in events:
                    if not answered:
                        answered = True
                        breaker.succeeded()
                    yield event
        finally:
            raw.close()  # a body read to its end has given its connection back before this

    def _breaker(self, model_id: str) -> CircuitBreaker:
        if model_id not in self._breakers:
            self._breakers[model_id] = CircuitBreaker(
                dependency=errors.PROVIDER,
                clock=self._clock,
                failures=self._breaker_failures,
                reset_after=self._breaker_reset_after,
            )
        return self._breakers[model_id]

    def _pause(self, attempt: int) -> float:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))
        return longest * (0.5 + self._chance() / 2)


class _Body:
    """aiohttp's body of an answer. What had come before it broke off is read first.

    aiohttp drops that. Its reading is paused past aiohttp, which does so for its own reasons too.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.set_exception = response.content.set_exception

    async def readany(self) -> bytes:
        try:
            return await self._content.readany()
        except errors.TRANSLATED:
            if came := self._content._read_nowait(-1):  # noqa: SLF001 - the public one raises too
                return came
            raise

    def pause_reading(self) -> None:
        if (transport := self._transport()) is not None:
            transport.pause_reading()

    def resume_reading(self) -> None:
        if (transport := self._transport()) is not None:
            transport.resume_reading()

    def _transport(self) -> asyncio.Transport | None:
        """None when all has come, or the connection is lost."""
        connection = self._response.connection
        return None if connection is None else connection.transport


def _check(breaker: CircuitBreaker) -> None:
    try:
        breaker.check()
    except UnavailableError as error:
        raise ProviderUnavailableError(
            provider=errors.PROVIDER, reason=ProviderReason.CIRCUIT_OPEN
        ) from error


def _log(error: Exception, *, prompt: Prompt, attempt: int) -> None:
    """One line: the model, our reason, and the library's error by type and first words."""
    cause = error.__cause__
    logger.warning(
        "bedrock_failed",
        kind=type(error).__name__,
        reason=getattr(error, "reason", None),
        model_id=prompt.model_id,
        attempt=attempt,
        cause=f"{type(cause).__name__}: {str(cause)[:200]}" if cause else None,
    )
