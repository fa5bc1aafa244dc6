"""Server-sent events that no content can break."""

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
# valid in JSON, but line ends to some readers
_LINE_ENDS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def sse_frame(data: Any, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """One event, its data as JSON on a single line; `event` and `event_id` hold no line end."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    if event is not None:
        head = f"{head}event: {event}\n"
    return b"%bdata: %b\n\n" % (head.encode(), _line(data))


def _line(data: Any) -> bytes:
    # JSON escapes CR and LF, so no text can end the line
    try:
        payload = _encoder.encode(data)
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can carry
        payload = json.dumps(data, default=str).encode()
    if payload.isascii():
        return payload
    for raw, escaped in _LINE_ENDS:
        payload = payload.replace(raw, escaped)
    return payload
