"""The frames of one stream, most of them compressed: what is read is what was added."""

import tracemalloc
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_builders import chunk

from aula_chat.services.frames import BLOCK_BYTES, Frames

# up to several blocks, and often just about whole ones
sizes = st.integers(1, 200) | st.integers(-3, 3).map(lambda more: BLOCK_BYTES + more)
lengths = st.lists(sizes | st.integers(1, 5 * BLOCK_BYTES), min_size=1, max_size=40)


def some_frames(lengths: list[int]) -> list[bytes]:
    return [bytes([number % 256]) * length for number, length in enumerate(lengths)]


def kept(frames: list[bytes]) -> Frames:
    made = Frames()
    for frame in frames:
        made.append(frame)
    return made


@given(lengths)
def test_frames_are_what_was_added_one_by_one(lengths: list[int]) -> None:
    added = some_frames(lengths)
    frames = kept(added)
    assert list(frames) == added
    assert frames[-1] == added[-1]
    assert frames[1:5] == added[1:5]
    with pytest.raises(IndexError):
        frames[len(added)]


@given(lengths, st.data(), st.integers(0, 4 * BLOCK_BYTES))
def test_frames_are_joined_as_far_as_a_limit_holds_them(
    lengths: list[int], data: st.DataObject, limit: int
) -> None:
    frames = kept(some_frames(lengths))
    after = data.draw(st.integers(0, len(lengths) - 1))
    last = data.draw(st.integers(after + 1, len(lengths)))
    wanted = some_frames(lengths)[after:last]
    assert frames.joined(after, last) == b"".join(wanted)
    assert frames.joined(after, after) == b""
    assert frames.size(after, last) == sum(map(len, wanted))
    fitting = sum(size <= limit for size in accumulate(map(len, wanted)))
    assert frames.last_within(after, last, limit) == after + max(fitting, 1)


@given(lengths)
def test_what_was_read_does_not_keep_frames_from_growing(lengths: list[int]) -> None:
    frames, added = Frames(), some_frames(lengths)
    read = []
    for number, frame in enumerate(added):
        frames.append(frame)
        read.append(frames.joined(number, number + 1))
        frames.joined(0, number + 1)
    assert read == added


def test_a_long_answer_is_kept_in_a_part_of_its_bytes() -> None:
    text = "It depends on the question, and on who asks it, what an answer has to say about it. "
    words = [f"{word} {number * number % 97}" for number, word in enumerate(text.split() * 200)]
    tracemalloc.start()
    try:
        frames = Frames()
        for number, word in enumerate(words, 1):
            frames.append(chunk("str_a", number, word))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < frames.size(0, len(frames)) / 3
