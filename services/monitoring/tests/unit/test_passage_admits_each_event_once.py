"""What goes on to the observer over any number of connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aula_common.sse import sse_frame
from aula_monitoring.domain.frames import (
    MAX_FRAME_BYTES,
    FrameSplitter,
    FrameTooLargeError,
    read_frame,
)
from aula_monitoring.domain.passage import Passage


def _event(event_id: str, name: str = "chunk") -> bytes:
    return sse_frame({"text": event_id}, event=name, event_id=event_id)


def _given(passage: Passage, *frames: bytes) -> list[bytes]:
    return [raw for raw in frames if passage.admits(read_frame(raw))]


HISTORY = [
    sse_frame({"message": "m"}, event="observer"),
    sse_frame({}, event="history-start"),
    sse_frame({"role": "user"}, event="history"),
    sse_frame({"role": "assistant"}, event="history"),
    sse_frame({}, event="history-end"),
]


@given(st.lists(st.integers(1, 200), max_size=10), st.data())
def test_frames_come_out_whole_however_the_bytes_are_cut(
    sizes: list[int], data: st.DataObject
) -> None:
    frames = [
        _event(f"str_1.{n}", "chunk") + b": \n\n" * (size % 2) for n, size in enumerate(sizes)
    ]
    stream = b"".join(frames)
    splitter, out, position = FrameSplitter(), [], 0
    while position < len(stream):
        step = data.draw(st.integers(1, 40))
        out += [frame.raw for frame in splitter.feed(stream[position : position + step])]
        position += step
    assert b"".join(out) == stream
    assert all(raw.count(b"\n\n") == 1 for raw in out)


def test_an_event_without_an_end_is_not_gathered_for_ever() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"x" * MAX_FRAME_BYTES) == []
    with pytest.raises(FrameTooLargeError):
        splitter.feed(b"x")


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6))
def test_replays_from_anywhere_give_each_event_exactly_once(starts: list[int]) -> None:
    passage = Passage(last_event_id=None, follow=False)
    seen: list[bytes] = []
    events = [_event(f"str_1.{n}") for n in range(1, 22)]
    for start in starts:
        passage.reconnected()
        reached = len(seen)
        seen += _given(passage, *events[min(start, reached) : reached + 4])
    assert seen == events[: len(seen)]
    assert len(seen) >= 4


def test_the_history_is_given_once_and_what_is_new_in_it_then() -> None:
    passage = Passage(last_event_id=None, follow=True)
    assert _given(passage, *HISTORY[:3]) == HISTORY[:3]
    passage.reconnected()
    assert _given(passage, *HISTORY) == HISTORY[3:]
    passage.reconnected()
    new = sse_frame({"role": "user", "content": "more"}, event="history")
    assert _given(passage, *HISTORY[:4], new, HISTORY[4]) == [new]


def test_the_position_is_the_last_numbered_event_or_the_observer_s_own() -> None:
    passage = Passage(last_event_id="str_1.7", follow=False)
    assert passage.last_event_id == "str_1.7"
    assert _given(passage, _event("str_1.7"), _event("str_1.8")) == [_event("str_1.8")]
    assert passage.last_event_id == "str_1.8"
    assert Passage(last_event_id=None, follow=False).last_event_id is None


def test_an_end_of_the_connection_is_the_end_only_after_a_terminal_event() -> None:
    single, following = (Passage(last_event_id=None, follow=follow) for follow in (False, True))
    for passage in (single, following):
        _given(passage, _event("str_1.1"))
        assert not passage.may_end
        _given(passage, _event("str_1.2", "complete"))
    assert single.may_end
    assert not following.may_end


def test_a_stream_that_went_by_does_not_come_back_after_the_next_one() -> None:
    passage = Passage(last_event_id=None, follow=True)
    first = [_event("str_1.1", "start"), _event("str_1.2", "error")]
    second = [_event("str_2.1", "start")]
    assert _given(passage, *first, *second, *first, *second) == [*first, *second]


def test_a_replayed_end_of_a_stream_whose_end_was_given_is_not_repeated() -> None:
    passage = Passage(last_event_id=None, follow=True)
    _given(passage, _event("str_1.1", "complete"))
    passage.reconnected()
    reloaded = sse_frame({"messageId": "msg_1", "reload": True}, event="complete")
    assert _given(passage, reloaded) == []
    _given(passage, _event("str_2.1", "start"))
    assert _given(passage, reloaded) == [reloaded]


def test_comments_and_notices_pass_every_time() -> None:
    passage = Passage(last_event_id=None, follow=False)
    notice = sse_frame({"count": 2}, event="observers")
    assert _given(passage, notice, b": \n\n", notice) == [notice, b": \n\n", notice]


def test_a_drain_moves_on_unseen_and_slowness_is_told() -> None:
    passage = Passage(last_event_id=None, follow=True)
    assert _given(passage, sse_frame({"reason": "drain"}, event="reconnect")) == []
    assert passage.must_move
    assert not passage.may_end
    passage.reconnected()
    slow = sse_frame({"reason": "slow"}, event="reconnect")
    assert _given(passage, slow) == [slow]
    assert passage.may_end
