"""The decoder against botocore's: the same frames, and the same end, after each piece."""

import os
import secrets
import struct
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from frame_bodies import (
    BREAKAGES,
    FIXED,
    KINDS,
    LARGE_PAYLOADS,
    LARGE_VALUES,
    NAMES,
    OURS_ALONE,
    PAYLOADS,
    PREFIXED,
    VALUES,
    Bodies,
    Body,
    packed,
    prefixed,
    prelude,
    sealed,
)

from aula_chat.clients.bedrock_frames import CorruptFrameError, FrameDecoder

Read = tuple[list[tuple[str, str, bytes]], bool]
"""The frames that a piece completed, and whether what followed them is corrupt."""
SEED_VARIABLE = "FRAMES_SEED"


def theirs(buffer: EventStreamBuffer, piece: bytes) -> Read:
    read: list[tuple[str, str, bytes]] = []
    buffer.add_data(piece)
    try:
        for message in buffer:
            read.append(_seen(message))  # noqa: PERF401 - what came before an error counts
    except (ParserError, KeyError, struct.error, UnicodeDecodeError):
        return read, True
    return read, False


def _seen(message: EventStreamMessage) -> tuple[str, str, bytes]:
    texts = {name: value for name, value in message.headers.items() if isinstance(value, str)}
    kind = texts.get(":message-type", "event")
    return kind, texts.get(KINDS.get(kind, ":event-type"), ""), message.payload


def ours(decoder: FrameDecoder, piece: bytes) -> Read:
    read: list[tuple[str, str, bytes]] = []
    try:
        for frame in decoder.feed(piece):
            seen = (frame.kind, frame.name, frame.payload)
            read.append(seen)
    except CorruptFrameError:
        return read, True
    return read, False


def compare(body: Body, tally: Counter[str]) -> None:
    """Fails where the two differ; counts what both gave, and what both refused."""
    if body.breakage in OURS_ALONE:
        refuse(body, tally)
        return
    decoder, buffer = FrameDecoder(), EventStreamBuffer()
    for place, piece in enumerate(body.pieces):
        got, expected = ours(decoder, piece), theirs(buffer, piece)
        assert got == expected, f"piece {place}"
        tally["frames compared"] += len(expected[0])
        tally["pieces compared"] += 1
        if expected[1]:
            tally["refused by both"] += 1
            assert body.breakage is not None
            return
    assert body.breakage in {None, "the end"}


def refuse(body: Body, tally: Counter[str]) -> None:
    """What botocore reads past its end: we give what comes before, and no more."""
    expected, corrupt = theirs(EventStreamBuffer(), body.sound)
    assert not corrupt
    decoder, got = FrameDecoder(), list[tuple[str, str, bytes]]()
    for piece in body.pieces:
        read, corrupt = ours(decoder, piece)
        got += read
        if corrupt:
            break
    assert (got, corrupt) == (expected, True)
    tally["refused by ours alone"] += 1


def compare_many(seed: int, *, frames: int, large: float) -> Counter[str]:
    """Bodies until both have given so many frames, from so many pieces at least."""
    bodies, tally = Bodies(large=large), Counter[str]()
    for number in numbers():
        if min(tally["frames compared"], tally["pieces compared"]) >= frames:
            break
        # each body has a seed of its own, so that the one that failed can be made alone
        body = bodies.body(Random(f"{seed}.{number}"))  # noqa: S311 - the same bodies each time
        try:
            compare(body, tally)
        except Exception as error:
            error.add_note(f"{SEED_VARIABLE}={seed}, body {number}, breakage: {body.breakage}")
            error.add_note(b"".join(body.pieces).hex()[:4000])
            raise
    return bodies.tally + tally


def numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def demand(tally: Counter[str], seed: int, *, each: int, large: int, frames: int) -> None:
    """That nothing was left out: of every kind so many at least."""
    wanted = {
        **{f"type {kind}": each for kind in (*FIXED, *PREFIXED)},
        **{f"name of {length}": each for length in NAMES},
        **{f"value of {length}": each for length in VALUES},
        **{f"payload of {length}": each for length in PAYLOADS},
        **{f"value of {length}": large for length in LARGE_VALUES},
        **{f"payload of {length}": large for length in LARGE_PAYLOADS},
        **{f"broken: {breakage}": each for breakage in BREAKAGES},
        **dict.fromkeys((*KINDS, "unnamed", "other"), frames // 20),
        **dict.fromkeys(("byte by byte", "cut at borders", "refused by both"), each),
        "refused by ours alone": each * len(OURS_ALONE),
        "frames compared": frames,
        "pieces compared": frames,
    }
    assert not {name: tally[name] for name in wanted if tally[name] < wanted[name]}, seed


@pytest.mark.parametrize("seed", range(2))
def test_the_same_frames_come_from_the_same_pieces(seed: int) -> None:
    frames = 8000
    tally = compare_many(seed, frames=frames, large=0.003)
    demand(tally, seed, each=10, large=1, frames=frames)


@pytest.mark.deep
def test_the_same_frames_come_from_a_million_pieces() -> None:
    frames = 1_000_000
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(2**32))
    tally = compare_many(seed, frames=frames, large=0.001)
    demand(tally, seed, each=1000, large=50, frames=frames)


@pytest.mark.parametrize("over", [0, 1])
def test_headers_are_read_up_to_the_largest_block(over: int) -> None:
    # 131,072 bytes: two values, of which the second makes up what is left
    first = (b"a", 6, prefixed(bytes(65_535)))
    rest = 128 * 1024 - len(packed([first])) - 5
    block = packed([first, (b"b", 6, prefixed(bytes(rest)))]) + b"\x00\x00"[: 2 * over]
    frame = sealed(block, b"{}")
    assert len(block) == 128 * 1024 + 2 * over
    got = ours(FrameDecoder(), frame)
    assert got == theirs(EventStreamBuffer(), frame)
    assert got == ([], True) if over else ([("event", "", b"{}")], False)


@pytest.mark.parametrize("over", [0, 1])
def test_payloads_are_read_up_to_the_largest(over: int) -> None:
    largest = 24 * 1024 * 1024
    announced = prelude(16 + 7 + largest + over, 7)
    got = ours(FrameDecoder(), announced)
    assert got == theirs(EventStreamBuffer(), announced) == ([], bool(over))


@pytest.mark.deep
def test_the_largest_payload_is_read_in_pieces() -> None:
    frame = sealed(b"\x01a\x00", bytes(24 * 1024 * 1024))
    decoder, buffer = FrameDecoder(), EventStreamBuffer()
    for at in range(0, len(frame), 5_000_000):
        piece = frame[at : at + 5_000_000]
        assert ours(decoder, piece) == theirs(buffer, piece)
    assert ours(decoder, frame[:0]) == ([], False)
