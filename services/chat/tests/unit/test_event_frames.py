"""Frames: any text survives framing, joining, splitting and numbering, and stays one event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_builders import chunk

from aula_chat.domain.errors import EventIdInvalidError
from aula_chat.domain.events import (
    EventId,
    data_of,
    event_frame,
    is_terminal,
    notice_frame,
    number_of,
    split_frames,
    text_of,
    without_text,
)
from aula_devstack.sse_client import SseParser

TEXTS = st.text(max_size=80) | st.sampled_from(
    [
        "\r\n\r\ndata: x\n\n",
        "\nevent: complete\n",
        "id: str_x.9\nevent: error\n\n",
        "a\rb\u2028c\u2029d\x85e\0f",
        "\ufeff: comment",
    ]
)


@given(st.lists(TEXTS, min_size=1, max_size=8), st.integers(1, 50))
def test_any_text_survives_a_run_of_frames(texts: list[str], cut: int) -> None:
    run = b"".join(chunk("str_a", number, text) for number, text in enumerate(texts, 1))
    frames = list(split_frames(run))
    assert [number_of(frame) for frame in frames] == list(range(1, len(texts) + 1))
    assert text_of(frames) == "".join(texts)
    assert not any(map(is_terminal, frames))
    parser = SseParser()
    pieces = [run[start : start + cut] for start in range(0, len(run), cut)]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert [event.event for event in events] == ["chunk"] * len(texts)
    assert [event.json()["text"] for event in events] == texts


@given(TEXTS)
def test_a_chunk_without_text_keeps_its_place_and_counts_only(text: str) -> None:
    bare = without_text(chunk("str_a", 7, text))
    assert number_of(bare) == 7
    assert data_of(bare) == ("chunk", {"tokens": 1, "totalTokens": 7})


@pytest.mark.parametrize("event", ["start", "model", "complete", "error"])
def test_other_events_are_the_same_without_text(event: str) -> None:
    frame = event_frame("str_a", 3, event, {"model": "m"})
    assert without_text(frame) == frame


@pytest.mark.parametrize(
    ("event", "terminal"),
    [("complete", True), ("error", True), ("chunk", False), ("start", False), ("model", False)],
)
def test_complete_and_error_alone_are_terminal(event: str, *, terminal: bool) -> None:
    assert is_terminal(event_frame("s" * 64, 10_000_000, event, {})) is terminal


def test_a_notice_has_no_number() -> None:
    assert notice_frame("degraded", {}) == b"event: degraded\ndata: {}\n\n"


@given(st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), st.integers(0, 10_000_000))
def test_an_event_id_is_read_as_it_was_written(stream_id: str, number: int) -> None:
    assert EventId.parse(str(EventId(stream_id, number))) == EventId(stream_id, number)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "1", "str_a", "str_a.", ".1", "str_a.-1", "str_a.1.5", "str_a.1e3", "str_a.x",
        "str_a.99999999999999999999", "str_a.\u0661", "str a.1", f"{'s' * 65}.1", "str_a.1\n",
        '{"$ne": null}.1', "../x.1",
    ],
)  # fmt: skip
def test_an_event_id_that_cannot_be_ours_is_refused(text: str) -> None:
    with pytest.raises(EventIdInvalidError):
        EventId.parse(text)


@given(st.text(max_size=100))
def test_no_text_makes_the_parser_of_event_ids_fail_otherwise(text: str) -> None:
    try:
        parsed = EventId.parse(text)
    except EventIdInvalidError:
        return
    assert 0 <= parsed.number <= 99_999_999
