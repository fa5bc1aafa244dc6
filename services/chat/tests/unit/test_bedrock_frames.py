from itertools import pairwise
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st

from aula_chat.clients.bedrock_frames import CorruptFrameError, Frame, FrameDecoder
from aula_devstack.bedrock.frames import encode_frame, event_frame, exception_frame, text_frame

names = st.sampled_from([":event-type", ":message-type", ":content-type", "x", "ä"])
frames = st.builds(
    encode_frame, st.dictionaries(names, st.text(max_size=20), max_size=4), st.binary(max_size=99)
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces, cut at the given places modulo its length."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def botocores(data: bytes) -> list[tuple[str, str, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [
        (
            message.headers.get(":message-type", "event"),
            message.headers.get(_name_header(message.headers), ""),
            message.payload,
        )
        for message in buffer
    ]


def _name_header(headers: dict[str, str]) -> str:
    kinds = {"exception": ":exception-type", "error": ":error-code"}
    return kinds.get(headers.get(":message-type", "event"), ":event-type")


@given(st.lists(frames, max_size=4), st.lists(st.integers(min_value=0), max_size=9))
def test_it_reads_what_botocore_reads_in_whatever_pieces(
    written: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(written)
    decoder = FrameDecoder()
    read = [frame for piece in split(data, cuts) for frame in decoder.feed(piece)]
    assert [tuple(frame) for frame in read] == botocores(data)


@given(frames, st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_changed_byte_passes(frame: bytes, place: int, change: int) -> None:
    at = place % len(frame)
    spoilt = frame[:at] + bytes([frame[at] ^ change]) + frame[at + 1 :]
    with pytest.raises(ParserError):
        botocores(spoilt)
    with pytest.raises(CorruptFrameError):
        list(FrameDecoder().feed(spoilt))


def test_frames_before_a_corrupt_one_are_given_first() -> None:
    good, bad = text_frame("shown"), bytearray(text_frame("lost"))
    bad[-1] ^= 1
    frames = FrameDecoder().feed(good + bytes(bad))
    assert b"shown" in next(frames).payload
    with pytest.raises(CorruptFrameError):
        next(frames)


def test_headers_of_every_type_are_skipped_or_read() -> None:
    eight, sixteen = bytes(8), bytes(16)
    blocks = b"".join(
        (
            *(b"\x01a\x00", b"\x01b\x01", b"\x01c\x02\x07", b"\x01d\x03\x00\x07"),
            *(b"\x01e\x04\x00\x00\x00\x07", b"\x01f\x05" + eight, b"\x01g\x06\x00\x02xy"),
            *(b"\x01h\x08" + eight, b"\x01i\x09" + sixteen),
            *(b"\x0d:message-type\x07\x00\x05event", b"\x0b:event-type\x07\x00\x01z"),
        )
    )
    frame = _frame_of(blocks)
    assert list(FrameDecoder().feed(frame)) == [Frame("event", "z", b"{}")]
    assert botocores(frame) == [("event", "z", b"{}")]


@pytest.mark.parametrize("blocks", [b"\x05a", b"\x01a\x63", b"\x01a\x07\x00\x09x", b"\x01\xff\x00"])
def test_broken_headers_are_corrupt(blocks: bytes) -> None:
    with pytest.raises(CorruptFrameError):
        list(FrameDecoder().feed(_frame_of(blocks)))


def test_a_length_beyond_reason_is_refused_before_it_is_awaited() -> None:
    for total, headers in ((2**31, 0), (20, 5), (8, 0)):
        with pytest.raises(CorruptFrameError):
            list(FrameDecoder().feed(_prelude(total, headers)))


def test_events_and_exceptions_are_told_apart() -> None:
    data = event_frame("messageStop", {"stopReason": "end_turn"}) + exception_frame(
        "throttlingException", {"message": "slowly"}
    )
    assert [(frame.kind, frame.name) for frame in FrameDecoder().feed(data)] == [
        ("event", "messageStop"),
        ("exception", "throttlingException"),
    ]


def _prelude(total: int, headers: int) -> bytes:
    lengths = total.to_bytes(4) + headers.to_bytes(4)
    return lengths + crc32(lengths).to_bytes(4)


def _frame_of(blocks: bytes) -> bytes:
    message = _prelude(16 + len(blocks) + 2, len(blocks)) + blocks + b"{}"
    return message + crc32(message).to_bytes(4)
