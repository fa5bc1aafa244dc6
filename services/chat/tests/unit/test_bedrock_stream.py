import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise

import pytest
import uvloop

from aula_chat.clients import bedrock_stream
from aula_chat.clients.bedrock_stream import ConverseStream
from aula_chat.clients.pacer import Pacer
from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    ProviderInterruptedError,
    ProviderReason,
    ProviderUnavailableError,
    TextDelta,
    TokenUsage,
)
from aula_devstack.bedrock.frames import encode_frame, event_frame, exception_frame, text_frame

STOP = event_frame("messageStop", {"stopReason": "end_turn"})


class Body:
    """Gives its pieces one by one; an exception among them is raised, None waits for one."""

    def __init__(self, *pieces: bytes | BaseException | None) -> None:
        self._pieces = list(pieces)
        self._exception: BaseException | None = None
        self._broken = asyncio.Event()
        self.paused = False
        self.pauses = 0

    async def readany(self) -> bytes:
        assert not self.paused
        piece = self._pieces.pop(0) if self._pieces else b""
        if piece is None:
            await self._broken.wait()
        if self._exception is not None:
            raise self._exception
        if isinstance(piece, BaseException):
            raise piece
        return piece or b""

    def set_exception(self, exc: BaseException) -> None:
        self._exception = exc
        self._broken.set()

    def pause_reading(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        self.paused = False


async def read(
    *pieces: bytes | BaseException | None, idle_timeout: float = 5, first: float = 5
) -> AsyncIterator[ModelEvent]:
    deadline = asyncio.get_running_loop().time() + first
    stream = ConverseStream(Body(*pieces), first_deadline=deadline, idle_timeout=idle_timeout)
    async for event in stream.events():
        yield event


async def all_of(*pieces: bytes | BaseException | None) -> list[ModelEvent]:
    return [event async for event in read(*pieces)]


def event(name: str, payload: bytes) -> bytes:
    return encode_frame({":message-type": "event", ":event-type": name}, payload)


def usage(payload: object) -> bytes:
    return event_frame("metadata", {"usage": payload, "metrics": {"latencyMs": 1}})


async def test_events_that_are_new_to_us_are_passed_over() -> None:
    reasoning = b'{"delta":{"reasoningContent":{"text":"hm"}},"contentBlockIndex":0}'
    events = await all_of(
        event("somethingNew", b"{}"),
        event("contentBlockDelta", reasoning),
        text_frame(""),
        text_frame("a") + STOP,
    )
    assert events == [TextDelta("a"), Finish(FinishReason.STOP)]


@pytest.mark.parametrize(
    "breaking", [ConnectionResetError(), TimeoutError(), b"\x00" * 20, exception_frame("x", {})]
)
async def test_what_breaks_after_the_finish_costs_the_usage_alone(
    breaking: bytes | BaseException,
) -> None:
    assert await all_of(text_frame("a") + STOP, breaking) == [
        TextDelta("a"),
        Finish(FinishReason.STOP),
    ]


async def test_a_stall_after_the_finish_ends_at_the_idle_deadline() -> None:
    events = [event async for event in read(text_frame("a") + STOP, None, idle_timeout=0.01)]
    assert events[-1] == Finish(FinishReason.STOP)


async def test_the_usage_is_not_waited_for_as_long_as_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bedrock_stream, "_USAGE_SECONDS", 0.01)
    async with asyncio.timeout(60):
        events = [event async for event in read(text_frame("a") + STOP, None, idle_timeout=3600)]
    assert events == [TextDelta("a"), Finish(FinishReason.STOP)]


async def test_half_a_frame_again_and_again_is_no_progress() -> None:
    class Trickle(Body):
        async def readany(self) -> bytes:
            await _until_past(0.03)
            return await super().readany()

    pieces = [text_frame("a"), *(STOP[at : at + 1] for at in range(20)), STOP[20:]]
    deadline = asyncio.get_running_loop().time() + 5
    stream = ConverseStream(Trickle(*pieces), first_deadline=deadline, idle_timeout=0.2)
    with pytest.raises(ProviderInterruptedError) as raised:
        [event async for event in stream.events()]
    assert raised.value.reason is ProviderReason.STALLED


async def test_the_idle_deadline_begins_anew_with_the_consumer() -> None:
    shown: list[ModelEvent] = []
    async for event_ in read(text_frame("a"), text_frame("b"), STOP, idle_timeout=0.05, first=0.05):
        shown.append(event_)
        if len(shown) == 1:
            await _until_past(0.1)
    assert shown[-1] == Finish(FinishReason.STOP)


async def test_waits_within_the_idle_deadline_may_last_longer_than_it_together() -> None:
    class Slow(Body):
        async def readany(self) -> bytes:
            await _until_past(0.05)
            return await super().readany()

    deadline = asyncio.get_running_loop().time() + 5
    stream = ConverseStream(
        Slow(*[text_frame("a")] * 8, STOP), first_deadline=deadline, idle_timeout=0.2
    )
    assert len([event async for event in stream.events()]) == 9


async def test_a_stall_after_a_consumer_took_its_time_ends_at_the_idle_deadline() -> None:
    async def take_slowly(events: AsyncIterator[ModelEvent]) -> None:
        async for _ in events:
            await _until_past(0.1)

    with pytest.raises(ProviderInterruptedError) as raised:
        await take_slowly(read(text_frame("a"), text_frame("b"), None, idle_timeout=0.05))
    assert raised.value.reason is ProviderReason.STALLED


def test_an_answer_that_begins_at_its_deadline_is_read_on_uvloop_too() -> None:
    async def begin() -> list[ModelEvent]:
        # uvloop's timer for what is nearer than it counts is none, and has no moment
        return [event async for event in read(text_frame("a"), STOP, first=0.0001)]

    assert uvloop.run(begin()) == [TextDelta("a"), Finish(FinishReason.STOP)]


@pytest.mark.parametrize(("pacer", "shown"), [(None, ["a", "b", "c"]), (Pacer(0.001), ["ab", "c"])])
async def test_deltas_that_come_together_are_one_unless_each_is_wanted(
    pacer: Pacer | None, shown: list[str]
) -> None:
    pieces = (text_frame("a") + text_frame("b"), text_frame("c") + STOP)
    deadline = asyncio.get_running_loop().time() + 5
    stream = ConverseStream(Body(*pieces), first_deadline=deadline, idle_timeout=5, pacer=pacer)
    *deltas, _ = [event async for event in stream.events()]
    assert deltas == [TextDelta(text) for text in shown]


async def test_between_the_first_delta_and_the_finish_the_body_is_read_at_intervals_only() -> None:
    loop = asyncio.get_running_loop()
    read_at: list[float] = []

    class Watched(Body):
        async def readany(self) -> bytes:
            read_at.append(loop.time())
            return await super().readany()

    pieces = [event_frame("messageStart", {"role": "assistant"}), *map(text_frame, "abc"), STOP]
    body = Watched(*pieces, usage({"inputTokens": 1, "outputTokens": 1}))
    pacer = Pacer(0.1)
    stream = ConverseStream(body, first_deadline=loop.time() + 5, idle_timeout=5, pacer=pacer)
    assert len([event async for event in stream.events()]) == 5
    pauses = [later - earlier for earlier, later in pairwise(read_at)]
    assert pauses[0] < 0.05, "the first delta waits for nothing"
    assert min(pauses[1:4]) > 0.095
    assert body.pauses == 3, "nor does what comes after the last one"
    assert not pacer._groups, "its place was given up"


async def test_a_stream_that_is_cut_gives_up_its_place() -> None:
    pacer, deadline = Pacer(0.001), asyncio.get_running_loop().time() + 5
    body = Body(text_frame("a"), text_frame("b"), None)
    stream = ConverseStream(body, first_deadline=deadline, idle_timeout=5, pacer=pacer)
    async with aclosing(stream.events()) as events:
        assert [await anext(events) for _ in "ab"] == [TextDelta("a"), TextDelta("b")]
        assert pacer._groups
    assert not pacer._groups


@pytest.mark.parametrize(("pacer", "shown"), [(None, ["a", "b"]), (Pacer(0.001), ["ab"])])
async def test_what_came_before_an_exception_is_shown(
    pacer: Pacer | None, shown: list[str]
) -> None:
    failed = exception_frame("throttlingException", {})
    deadline = asyncio.get_running_loop().time() + 5
    events = ConverseStream(
        Body(text_frame("a") + text_frame("b") + failed),
        first_deadline=deadline, idle_timeout=5, pacer=pacer,
    ).events()  # fmt: skip
    assert [await anext(events) for _ in shown] == [TextDelta(text) for text in shown]
    with pytest.raises(ProviderInterruptedError):
        await anext(events)


@pytest.mark.parametrize("pacer", [None, Pacer(0.001)])
async def test_what_came_before_a_payload_of_hostile_depth_is_shown(pacer: Pacer | None) -> None:
    deep = event("contentBlockDelta", b'{"delta":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}")
    deadline = asyncio.get_running_loop().time() + 5
    events = ConverseStream(
        Body(text_frame("a") + deep), first_deadline=deadline, idle_timeout=5, pacer=pacer
    ).events()
    assert await anext(events) == TextDelta("a")
    with pytest.raises(ProviderInterruptedError) as raised:
        await anext(events)
    assert raised.value.reason is ProviderReason.CORRUPT


async def _until_past(seconds: float) -> None:
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


async def test_a_body_that_ends_early_is_incomplete() -> None:
    with pytest.raises(ProviderUnavailableError) as nothing_shown:
        await all_of(event_frame("messageStart", {"role": "assistant"}))
    assert nothing_shown.value.reason is ProviderReason.INCOMPLETE
    with pytest.raises(ProviderInterruptedError) as some_shown:
        await all_of(text_frame("a"), STOP[:-1])
    assert some_shown.value.reason is ProviderReason.INCOMPLETE


async def test_an_unmodelled_error_message_ends_the_stream() -> None:
    frame = encode_frame(
        {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "x"}, b""
    )
    with pytest.raises(ProviderInterruptedError) as raised:
        await all_of(text_frame("a"), frame)
    assert raised.value.reason is ProviderReason.FAILED


async def test_surrogate_halves_are_joined_across_deltas_or_replaced() -> None:
    halves = [
        event("contentBlockDelta", json.dumps({"delta": {"text": text}}).encode())
        for text in ("a\ud83e", "\udd89b", "\udd89", "c\ud83e")
    ]
    events = await all_of(*halves, STOP)
    text = "".join(part.text for part in events if isinstance(part, TextDelta))
    assert text == "a🦉b\ufffdc\ufffd"
    assert events[-1] == Finish(FinishReason.STOP)


async def test_text_that_is_no_utf8_is_replaced() -> None:
    events = await all_of(event("contentBlockDelta", b'{"delta":{"text":"a\xff"}}'), STOP)
    assert events[0] == TextDelta("a\ufffd")


@pytest.mark.parametrize(
    "absurd",
    [
        None,
        5,
        {},
        {"inputTokens": -1, "outputTokens": 1},
        {"inputTokens": 1.5, "outputTokens": 1},
        {"inputTokens": True, "outputTokens": 1},
        {"inputTokens": "1", "outputTokens": 1},
        {"inputTokens": 1},
    ],
)
async def test_usage_that_is_no_count_is_dropped(absurd: object) -> None:
    assert await all_of(text_frame("a") + STOP + usage(absurd)) == [
        TextDelta("a"),
        Finish(FinishReason.STOP),
    ]


async def test_usage_beyond_any_allowance_is_the_callers_to_clamp() -> None:
    events = await all_of(STOP + usage({"inputTokens": 0, "outputTokens": 2**53}))
    assert events[-1] == TokenUsage(0, 2**53)
