"""A whole answer, read by us and by the official client's parser from the same bytes."""

import json
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from aiobotocore.eventstream import AioEventStream
from aiobotocore.parsers import AioEventStreamJSONParser
from botocore.eventstream import ParserError
from botocore.exceptions import EventStreamError
from botocore.session import Session

from aula_chat.clients import bedrock_errors
from aula_chat.clients.bedrock_stream import ConverseStream
from aula_chat.clients.pacer import Pacer
from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    ProviderError,
    ProviderReason,
    TextDelta,
    TokenUsage,
)
from aula_devstack.bedrock.frames import corrupted, event_frame, exception_frame, text_frame

SEED_VARIABLE = "FRAMES_SEED"
SHAPE = (
    Session()
    .get_service_model("bedrock-runtime")
    .operation_model("ConverseStream")
    .output_shape.members["stream"]
)
REASONS = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "guardrail_intervened": FinishReason.FILTERED,
    "tool_use": FinishReason.OTHER,
}
EXCEPTIONS = (
    "throttlingException", "modelStreamErrorException", "internalServerException",
    "serviceUnavailableException", "validationException",
)  # fmt: skip
TEXTS = ("a", "", " ", "wörd", "🦉", "\r\n\ndata: x", "\u2028", "\x00", '"\\', "x" * 3000)
ENDS = ("whole", "no usage", "unfinished", "exception", "late exception", "corrupt", "late corrupt")
OTHERS = (
    event_frame("messageStart", {"role": "assistant"}),
    event_frame("contentBlockStop", {"contentBlockIndex": 0}),
    event_frame("contentBlockDelta", {"delta": {"reasoningContent": {"text": "hm"}}}),
    event_frame("somethingNew", {"text": "?"}),
)
Told = tuple[list[ModelEvent], ProviderReason | None]
"""The events, and why they broke off."""


class Content:
    """A response's body, as both parsers read it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def iter_chunks(self) -> AsyncIterator[tuple[bytes, bool]]:
        for piece in self._pieces:
            yield piece, True

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def set_exception(self, exc: BaseException) -> None:
        raise AssertionError("no deadline passes here") from exc

    def pause_reading(self) -> None:
        """Nothing comes of itself."""

    def resume_reading(self) -> None:
        """Likewise."""


async def theirs(pieces: list[bytes]) -> Told:
    raw = SimpleNamespace(content=Content(pieces))
    stream = AioEventStream(raw, SHAPE, AioEventStreamJSONParser(), "ConverseStream")
    told: list[ModelEvent] = []
    try:
        async for event in stream:
            told += _translated(event)
    except EventStreamError as error:
        return told, bedrock_errors.translate(error).reason
    except ParserError:
        return told, ProviderReason.CORRUPT
    finished = any(isinstance(event, Finish) for event in told)
    return told, None if finished else ProviderReason.INCOMPLETE


def _translated(event: dict[str, Any]) -> list[ModelEvent]:
    match event:
        case {"contentBlockDelta": {"delta": {"text": str(text)}}} if text:
            return [TextDelta(text)]
        case {"messageStop": {"stopReason": reason}}:
            return [Finish(REASONS[reason])]
        case {"metadata": {"usage": {"inputTokens": read, "outputTokens": written}}}:
            return [TokenUsage(read, written)]
    return []


async def ours(pieces: list[bytes], *, pacer: Pacer | None = None) -> Told:
    told: list[ModelEvent] = []
    stream = ConverseStream(Content(pieces), first_deadline=1e12, idle_timeout=1e12, pacer=pacer)
    try:
        async for event in stream.events():
            told.append(event)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return told, error.reason
    return told, None


def joined(events: list[ModelEvent]) -> list[ModelEvent]:
    """The events with neighbouring deltas as one: how they are cut follows how they arrived."""
    told: list[ModelEvent] = []
    for event in events:
        if told and isinstance(event, TextDelta) and isinstance(told[-1], TextDelta):
            told[-1] = TextDelta(told[-1].text + event.text)
        else:
            told.append(event)
    return told


def answer(chance: Random, tally: Counter[str]) -> tuple[str, bytes]:
    """The bytes of one answer, and how it ends."""
    frames = []
    for _ in range(chance.randrange(12)):
        if chance.random() < 0.2:
            frames.append(chance.choice(OTHERS))
        else:
            frames.append(text_frame(chance.choice(TEXTS)))
    end = chance.choice(ENDS)
    stop = event_frame("messageStop", {"stopReason": chance.choice(tuple(REASONS))})
    counts = {"inputTokens": chance.randrange(5000), "outputTokens": chance.randrange(2**40)}
    usage = event_frame("metadata", {"usage": counts, "metrics": {"latencyMs": 1}})
    failed = exception_frame(chance.choice(EXCEPTIONS), {"message": "Input is too long."})
    frames += {
        "whole": [stop, usage],
        "no usage": [stop],
        "unfinished": [],
        "exception": [failed, stop],
        "late exception": [stop, failed, usage],
        "corrupt": [corrupted(text_frame("lost")), stop],
        "late corrupt": [stop, corrupted(usage)],
    }[end]
    tally[end] += 1
    return end, b"".join(frames)


async def compare(seed: int, answers: int) -> Counter[str]:
    tally = Counter[str]()
    for number in range(answers):
        chance = Random(f"{seed}.{number}")  # noqa: S311 - the same answers each time
        end, data = answer(chance, tally)
        cuts = sorted(
            chance.randrange(1, len(data) + 1) for _ in range(chance.randrange(30)) if data
        )
        pieces = [data[a:b] for a, b in pairwise([0, *cuts, len(data)]) if a < b]
        told, reason = await theirs(list(pieces))
        if any(isinstance(event, Finish) for event in told):
            reason = None  # the text is whole: what breaks after it costs the usage alone
        note = f"{SEED_VARIABLE}={seed}, answer {number}, {end}: {json.dumps(data.hex()[:4000])}"
        assert await ours(list(pieces)) == (told, reason), note
        shown, our_reason = await ours(list(pieces), pacer=Pacer(1e-9))
        assert (joined(shown), our_reason) == (joined(told), reason), note
        tally["pieces"] += len(pieces)
        tally["events"] += len(told)
        tally.update(type(event).__name__ for event in told)
        tally[f"broken off: {reason}"] += 1
    return tally


def demand(tally: Counter[str], seed: int, each: int) -> None:
    """That nothing was left out."""
    reasons = ("throttled", "failed", "overloaded", "input_too_long", "corrupt", "incomplete")
    wanted = {
        **dict.fromkeys(ENDS, each),
        **{f"broken off: {reason}": each // 2 for reason in (*reasons, None)},
        **dict.fromkeys(("TextDelta", "Finish", "TokenUsage"), each),
        "pieces": 30 * each,
    }
    assert not {name: tally[name] for name in wanted if tally[name] < wanted[name]}, seed


async def test_an_answer_is_read_as_the_official_parser_reads_it() -> None:
    tally = await compare(1, 400)
    demand(tally, 1, 20)


@pytest.mark.deep
async def test_many_answers_are_read_as_the_official_parser_reads_them() -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(2**32))
    tally = await compare(seed, 20_000)
    demand(tally, seed, 1000)
