"""One ConverseStream body, read from its first byte to its last."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeGuard

import msgspec
import structlog

from aula_chat.clients import bedrock_errors as errors
from aula_chat.clients.bedrock_frames import CorruptFrameError, FrameDecoder
from aula_chat.clients.pacer import Pacer, Turn
from aula_chat.clients.surrogates import SurrogateMender
from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    ProviderError,
    TextDelta,
    TokenUsage,
)

_USAGE_SECONDS = 5.0  # for what comes after the text, and holds up its end
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "guardrail_intervened": FinishReason.FILTERED,
    "content_filtered": FinishReason.FILTERED,
}

logger = structlog.get_logger()


class Body(Protocol):
    """What is read of aiohttp's response.

    `readany` gives what has come, b"" at the end; after `set_exception` it raises that. While its
    reading is paused, what comes is left to the kernel.
    """

    async def readany(self) -> bytes: ...

    def set_exception(self, exc: BaseException) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Delta(msgspec.Struct):
    text: str = ""


class _ContentBlockDelta(msgspec.Struct):
    delta: _Delta


_decode_delta = msgspec.json.Decoder(_ContentBlockDelta).decode


class ConverseStream:
    """The events of one answer.

    `first_deadline` is the event loop's time by which text must have come; after it no wait may
    exceed `idle_timeout` seconds. Both cover every byte, so that a trickle of half a frame does not
    count as an event. Once text has come, the body is read at the moments of the `pacer` only:
    what came meanwhile is one delta, so that haste costs no more than a reader can see. Without a
    pacer each delta is one by itself.
    """

    def __init__(
        self, body: Body, *, first_deadline: float, idle_timeout: float, pacer: Pacer | None = None
    ) -> None:
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._deadline = first_deadline
        self._idle_timeout = idle_timeout
        self._pacer = pacer
        self._turn: Turn | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._waiting = False
        self._decoder = FrameDecoder()
        self._mender = SurrogateMender()
        self._progressed = False
        self._shown = False
        self._finished = False

    async def events(self) -> AsyncGenerator[ModelEvent, None]:
        """Deltas, the finish, the usage. Raises ProviderError; only after the finish never.

        What breaks after the finish costs the usage alone: the text is whole, and is kept.
        """
        try:
            while data := await self._read():
                for event in self._events_in(data):
                    self._shown = True
                    yield event
        except (*errors.TRANSLATED, ProviderError) as error:
            if self._finished:
                logger.warning("bedrock_usage_lost", error=type(error).__name__)
                return
            if self._shown:
                raise errors.interrupted(error) from error
            if isinstance(error, ProviderError):
                raise
            raise errors.translate(error) from error
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            if self._turn is not None:
                self._turn.leave()
        if not self._finished:
            raise errors.incomplete(shown=self._shown)

    async def _read(self) -> bytes:
        """The next bytes; none at the end of the body."""
        if self._shown:
            if self._pacer is not None and not self._finished:
                if self._turn is None:
                    self._turn = self._pacer.join()
                self._body.pause_reading()  # nothing wakes the process for what can wait
                await self._turn.pause()
                self._body.resume_reading()
            if self._progressed:
                longest = _USAGE_SECONDS if self._finished else self._idle_timeout
                self._deadline = self._loop.time() + min(longest, self._idle_timeout)
                self._progressed = False
        if self._alarm is None or self._rings_at > self._deadline:
            self._set_alarm()
        self._waiting = True
        try:
            return await self._body.readany()
        finally:
            self._waiting = False

    def _set_alarm(self) -> None:
        # one for many waits: it rings at the first's deadline, and is then set to the last's
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = self._deadline  # what uvloop gives for a moment that is near can't tell it
        self._alarm = self._loop.call_at(self._rings_at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if not self._waiting:
            return  # the next wait sets it again
        if self._loop.time() < self._deadline:
            self._set_alarm()
        else:
            self._body.set_exception(TimeoutError())

    def _events_in(self, data: bytes) -> Iterator[ModelEvent]:
        """What these bytes complete. Deltas that came together are one, if any ever are.

        Raises what an exception among the frames stands for, or CorruptFrameError, after all that
        came before it.
        """
        texts: list[str] = []
        try:
            for frame in self._decoder.feed(data):
                self._progressed = True
                if frame.kind != "event":
                    raise errors.refused(frame.name, message=_message(frame.payload))
                match frame.name:
                    case "contentBlockDelta":
                        texts.append(self._mender.feed(_text(frame.payload)))
                        if self._pacer is None:
                            yield from _delta(texts)
                    case "messageStop":
                        texts.append(self._mender.finish())
                        yield from _delta(texts)
                        self._finished = True
                        reason = _document(frame.payload).get("stopReason")
                        yield Finish(_FINISH_REASONS.get(str(reason), FinishReason.OTHER))
                    case "metadata":
                        if usage := _usage(_document(frame.payload).get("usage")):
                            yield usage
        except (CorruptFrameError, ProviderError):
            yield from _delta(texts)
            raise
        yield from _delta(texts)


def _delta(texts: list[str]) -> Iterator[TextDelta]:
    """All of these as one, if that is any; they are taken out."""
    text = "".join(texts)
    texts.clear()
    if text:
        yield TextDelta(text)


def _text(payload: bytes) -> str:
    try:
        return _decode_delta(payload).delta.text
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # lone surrogates, or text that is none: rare, and no reason to lose the answer
        delta = _document(payload).get("delta")
        text = delta.get("text") if isinstance(delta, dict) else None
        return text if isinstance(text, str) else ""


def _document(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise CorruptFrameError("payload") from error
    return document if isinstance(document, dict) else {}


def _message(payload: bytes) -> str:
    with suppress(CorruptFrameError):
        return str(_document(payload).get("message", ""))
    return ""


def _usage(usage: Any) -> TokenUsage | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("inputTokens"), usage.get("outputTokens")
    if _is_count(read) and _is_count(written):
        return TokenUsage(input_tokens=read, output_tokens=written)
    logger.warning("bedrock_usage_absurd", counts=[repr(read)[:40], repr(written)[:40]])
    return None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0
