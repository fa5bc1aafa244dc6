"""The parser of server-sent events, against the rules of the HTML standard."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aula_devstack.sse_client import SseEvent, SseParser


def _parse(stream: bytes) -> list[SseEvent]:
    return SseParser().feed(stream)


def test_a_field_s_first_space_is_dropped_and_no_other() -> None:
    assert _parse(b"data:  two\n\n") == [SseEvent(event="message", data=" two", id="")]
    assert _parse(b"data:none\n\n") == [SseEvent(event="message", data="none", id="")]


def test_lines_of_data_are_joined() -> None:
    assert _parse(b"data: a\ndata:\ndata: b\n\n")[0].data == "a\n\nb"


def test_the_id_lasts_and_one_with_nul_is_ignored() -> None:
    events = _parse(b"id: s.1\ndata: a\n\ndata: b\n\nid: bad\0\ndata: c\n\nid\ndata: d\n\n")
    assert [event.id for event in events] == ["s.1", "s.1", "s.1", ""]


def test_an_event_without_data_is_not_dispatched_and_its_name_is_forgotten() -> None:
    assert _parse(b"event: lost\n\ndata: x\n\n") == [SseEvent(event="message", data="x", id="")]


def test_comments_are_counted_and_unknown_fields_ignored() -> None:
    parser = SseParser()
    assert parser.feed(b": keep alive\n\nnonsense: 1\nretry: 250\nretry: x\ndata: y\n\n") == [
        SseEvent(event="message", data="y", id="")
    ]
    assert parser.comments == 1
    assert parser.retry_ms == 250


def test_a_byte_order_mark_at_the_start_is_dropped() -> None:
    assert _parse(b"\xef\xbb\xbfdata: x\n\n")[0].data == "x"


def test_an_unfinished_event_is_not_dispatched() -> None:
    assert _parse(b"data: x\n") == []


def test_only_cr_lf_and_crlf_end_a_line() -> None:
    text = "a\u2028b\u0085c\x0bd\x0ce\x1cf"
    assert _parse(f"data: {text}\n\n".encode())[0].data == text


def test_crlf_cut_in_two_is_one_end_of_line() -> None:
    parser = SseParser()
    pieces = [b"data: a\r", b"", b"\ndata: b\r", b"\n", b"\r", b"\n"]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert [event.data for event in events] == ["a\nb"]


def test_an_event_comes_out_as_soon_as_its_last_byte_is_in() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\n") == []
    assert len(parser.feed(b"\r")) == 1


line_text = st.text(
    alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12
)
names = line_text.filter(bool)
ids = line_text.filter(lambda text: "\0" not in text)
events_to_send = st.lists(
    st.tuples(names, ids, st.lists(line_text, min_size=1, max_size=3)), max_size=5
)


@given(events_to_send, st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_what_was_written_is_read_wherever_the_bytes_are_cut(
    sent: list[tuple[str, str, list[str]]], end: str, data: st.DataObject
) -> None:
    stream = "".join(
        f": note{end}event: {name}{end}id: {identity}{end}"
        + "".join(f"data: {line}{end}" for line in lines)
        + end
        for name, identity, lines in sent
    ).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parser = SseParser()
    got = [
        event
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in parser.feed(stream[start:stop])
    ]
    assert got == [
        SseEvent(event=name, data="\n".join(lines), id=identity) for name, identity, lines in sent
    ]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=10))
def test_any_bytes_give_the_same_events_whole_and_cut(stream: bytes, cuts: list[int]) -> None:
    parser = SseParser()
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert [event for piece in pieces for event in parser.feed(piece)] == _parse(stream)
