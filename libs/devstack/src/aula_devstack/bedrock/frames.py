"""AWS event-stream framing (`application/vnd.amazon.eventstream`).

A frame is: total length (u32), headers length (u32), CRC32 of those eight bytes, headers, payload,
CRC32 of everything before it; all integers big-endian. A header is: name length (u8), name, value
type (u8; 7 is a string), value length (u16), value.
"""

import functools
import json
import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_STRING = 7
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One whole frame, with both checksums."""
    return _frame(_encode_headers(headers), payload)


def event_frame(event_type: str, body: Mapping[str, Any]) -> bytes:
    """A ConverseStream event such as `messageStop`; its body gains Bedrock's padding member `p`."""
    padded = {**body, "p": _PADDING[: 4 + crc32(event_type.encode()) % 40]}
    return _frame(_event_headers(event_type), _json(padded))


@functools.lru_cache(maxsize=16_384)
def text_frame(text: str) -> bytes:
    """A `contentBlockDelta` that carries `text`. Frames are cached: most tokens come again."""
    # the real service pads each delta so that its length does not tell the token's
    padding = _PADDING[: 1 + (len(text) * 17 + crc32(text.encode("utf-8", "replace"))) % 60]
    body = {"contentBlockIndex": 0, "delta": {"text": text}, "p": padding}
    return _frame(_event_headers("contentBlockDelta"), _json(body))


def exception_frame(exception_type: str, body: Mapping[str, Any]) -> bytes:
    """An exception amid the stream; `exception_type` is lowerCamel, as `throttlingException`."""
    headers = {
        ":exception-type": exception_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return encode_frame(headers, _json(body))


def corrupted(frame: bytes) -> bytes:
    """The same frame with a message checksum that does not match."""
    return frame[:-1] + bytes([frame[-1] ^ 0xFF])


@functools.cache
def _event_headers(event_type: str) -> bytes:
    return _encode_headers(
        {
            ":event-type": event_type,
            ":content-type": "application/json",
            ":message-type": "event",
        }
    )


def _encode_headers(headers: Mapping[str, str]) -> bytes:
    parts: list[bytes] = []
    for name, value in headers.items():
        raw_name, raw_value = name.encode(), value.encode()
        parts.append(
            struct.pack(f"!B{len(raw_name)}sBH", len(raw_name), raw_name, _STRING, len(raw_value))
        )
        parts.append(raw_value)
    return b"".join(parts)


def _frame(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = b"".join((lengths, crc32(lengths).to_bytes(4, "big"), headers, payload))
    return message + crc32(message).to_bytes(4, "big")


def _json(body: Mapping[str, Any]) -> bytes:
    # escapes beyond ASCII keep lone surrogates transportable, as the service's own encoder does
    return json.dumps(body, separators=(",", ":")).encode()
