"""Bodies of event-stream frames: whole ones and such as are broken in every way that we know.

All of it is decided by a `Random`, so the same seed always gives the same body.
"""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from zlib import crc32

KINDS = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}
FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of a value, by its type
PREFIXED = (6, 7)
STRING = 7
NAMES = (0, 1, 2, 127, 128, 254, 255)  # bytes: the borders of a length in one byte
VALUES = (0, 1, 2, 127, 128, 255, 256, 257)
LARGE_VALUES = (32_767, 32_768, 65_535)
PAYLOADS = (0, 1, 2, 3, 4, 11, 12, 13, 15, 16, 17, 255, 256, 1023, 1024)
LARGE_PAYLOADS = (65_535, 65_536, 100_000)
CHANGED = ("a length", "the prelude's checksum", "headers", "the payload", "the message's checksum")
RESEALED = (
    "a type",
    "a number cut short",
    "no UTF-8 in a name",
    "no UTF-8 in a value",
    "a name twice",
)
ENDLESS = ("headers too long", "payload too long")
# what botocore reads past its end, and we refuse
OURS_ALONE = (
    "a string cut short", "bytes cut short", "a uuid cut short", "headers beyond the frame",
    "too short a frame",
)  # fmt: skip
BREAKAGES = (*CHANGED, *RESEALED, *ENDLESS, "the end", *OURS_ALONE)

Header = tuple[bytes, int, bytes]
"""Its name, its type, its value as written, with the length where it has one."""


@dataclass(frozen=True)
class Body:
    """What arrives, in which pieces, and what of it is broken, if anything.

    `sound` is what comes before the broken frame.
    """

    pieces: Sequence[bytes]
    breakage: str | None
    sound: bytes


def sealed(headers: bytes, payload: bytes, *, headers_length: int | None = None) -> bytes:
    """A frame with the right checksums, whatever it holds."""
    stated = len(headers) if headers_length is None else headers_length
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), stated)
    message = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def prelude(total: int, headers: int) -> bytes:
    """The first twelve bytes of a frame of these lengths."""
    lengths = struct.pack("!II", total, headers)
    return lengths + struct.pack("!I", crc32(lengths))


def packed(headers: Sequence[Header]) -> bytes:
    """Headers as they are written."""
    return b"".join(
        bytes([len(name)]) + name + bytes([kind]) + value for name, kind, value in headers
    )


def prefixed(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


class Bodies:
    """Makes bodies; `tally` counts what was made."""

    def __init__(self, *, large: float) -> None:
        self.tally: Counter[str] = Counter()
        self._large = large  # how often a length is large, where it may be

    def body(self, chance: Random) -> Body:
        """A few frames, the last of them broken in about one body of four."""
        sound = b"".join(self.frame(chance) for _ in range(chance.randrange(9)))
        broken, breakage = b"", None
        if chance.random() < 0.25:
            breakage = chance.choice(BREAKAGES)
            broken = self._broken(chance, breakage)
            if breakage not in {*ENDLESS, "the end"}:
                broken += self.frame(chance)
            self.tally[f"broken: {breakage}"] += 1
        pieces = self._pieces(chance, sound + broken)
        self.tally["bodies"] += 1
        self.tally["pieces"] += len(pieces)
        return Body(pieces, breakage, sound)

    def frame(self, chance: Random) -> bytes:
        """One whole frame."""
        self.tally["frames"] += 1
        headers = self._headers(chance)
        if headers and chance.random() < 0.2:
            chance.shuffle(headers)
        return sealed(packed(headers), self._payload(chance))

    def _headers(self, chance: Random) -> list[Header]:
        kind = chance.choice((*KINDS, "event", "unnamed", "other"))
        self.tally[kind] += 1
        headers = [] if kind == "unnamed" else [self._of_message(chance, kind)]
        if kind in KINDS:
            name = chance.choice((b"contentBlockDelta", b"throttlingException", b"", "ä€".encode()))
            headers.append((KINDS[kind].encode(), STRING, prefixed(name)))
        taken = {name for name, _, _ in headers}
        for header in [self._header(chance) for _ in range(chance.randrange(4))]:
            if header[0] not in taken:
                taken.add(header[0])
                headers.append(header)
        return headers

    def _of_message(self, chance: Random, kind: str) -> Header:
        if kind == "other" and chance.random() < 0.5:
            return b":message-type", 6, prefixed(b"exception")  # bytes are no text
        return b":message-type", STRING, prefixed(kind.encode())

    def _header(self, chance: Random) -> Header:
        length = chance.choice((1, 2, 3, 4, *NAMES))
        self.tally[f"name of {length}"] += 1
        name = ("x" * length).encode() if chance.random() < 0.5 else _text(chance, length)
        kind = chance.choice((*FIXED, *PREFIXED, *PREFIXED))
        self.tally[f"type {kind}"] += 1
        return name, kind, self._value(chance, kind)

    def _value(self, chance: Random, kind: int) -> bytes:
        if kind in FIXED:
            return chance.randbytes(FIXED[kind])
        length = chance.choice(LARGE_VALUES if chance.random() < self._large else VALUES)
        self.tally[f"value of {length}"] += 1
        return prefixed(_text(chance, length) if kind == STRING else chance.randbytes(length))

    def _payload(self, chance: Random) -> bytes:
        length = chance.choice(LARGE_PAYLOADS if chance.random() < self._large else PAYLOADS)
        self.tally[f"payload of {length}"] += 1
        return chance.randbytes(length)

    def _broken(self, chance: Random, breakage: str) -> bytes:
        """One frame, or a part of one, with that wrong."""
        if breakage == "the end":
            frame = self.frame(chance)
            return frame[: chance.randrange(len(frame))]
        if breakage == "a name twice":
            again = b"\x01a" + _typed(chance, chance.choice((*FIXED, *PREFIXED)), _any_value)
            return sealed(chance.choice((_GOOD + again, again + _GOOD)), b"{}")
        if breakage in CHANGED:
            return self._changed(chance, breakage)
        return _BROKEN[breakage](chance)

    def _changed(self, chance: Random, part: str) -> bytes:
        """A frame of which one byte is another."""
        headers = packed([*self._headers(chance), (b"", 0, b"")][:4]) or b"\x00\x00"
        frame = bytearray(sealed(headers, self._payload(chance) or b"x"))
        starts = (0, 8, 12, 12 + len(headers), len(frame) - 4, len(frame))
        begin, end = list(pairwise(starts))[CHANGED.index(part)]
        frame[chance.randrange(begin, end)] ^= chance.randrange(1, 256)
        return bytes(frame)

    def _pieces(self, chance: Random, data: bytes) -> list[bytes]:
        """The same bytes: whole, one by one, cut near what a decoder waits for, or anywhere."""
        match chance.randrange(5):
            case 0:
                return [data]
            case 1 if len(data) <= 600:
                self.tally["byte by byte"] += 1
                return [data[at : at + 1] for at in range(len(data))]
            case 2:
                cuts = self._borders(chance, data)
            case _:
                count = chance.randrange(1, 12)
                cuts = [chance.randrange(len(data) + 1) for _ in range(count)]
        places = sorted([0, len(data), *cuts])  # twice the same place gives a piece of nothing
        return [data[start:end] for start, end in pairwise(places)]

    def _borders(self, chance: Random, data: bytes) -> list[int]:
        """Within a byte of where preludes and frames end, as far as lengths can be believed."""
        cuts: list[int] = []
        start = 0
        while start + 12 <= len(data):
            total = int.from_bytes(data[start : start + 4])
            borders = (start + 8, start + 12, start + total - 4, start + total)
            cuts += [border + chance.choice((-1, 0, 1)) for border in borders]
            if total < 16:
                break
            start += total
        self.tally["cut at borders"] += 1
        return [cut for cut in cuts if 0 <= cut <= len(data)]


def _text(chance: Random, length: int) -> bytes:
    """UTF-8 of so many bytes."""
    wide = "ä" * (chance.randrange(length + 1) // 2)
    return wide.encode() + b"y" * (length - 2 * len(wide))


def _any_value(chance: Random, kind: int) -> bytes:
    return chance.randbytes(FIXED[kind]) if kind in FIXED else prefixed(b"z")


def _cut_value(chance: Random, kind: int) -> bytes:
    """A value that lacks its last bytes."""
    whole = chance.randbytes(FIXED[kind]) if kind in FIXED else prefixed(b"abcd")
    least = 0 if kind in FIXED else 2
    return whole[: chance.randrange(least, len(whole))]


def _typed(chance: Random, kind: int, value: Callable[[Random, int], bytes]) -> bytes:
    return bytes([kind]) + value(chance, kind)


def _cut(*kinds: int) -> Callable[[Random], bytes]:
    """Frames whose last header is of one of these types and cut short."""
    return lambda chance: sealed(
        _GOOD + b"\x01b" + _typed(chance, chance.choice(kinds), _cut_value),
        chance.randbytes(chance.randrange(9)),
    )


_GOOD = b"\x01a\x07\x00\x01x"
_BROKEN: dict[str, Callable[[Random], bytes]] = {
    "headers too long": lambda _: prelude(200_000, 128 * 1024 + 1),
    "payload too long": lambda _: prelude(16 + 30 + 24 * 1024 * 1024 + 1, 30),
    "a type": lambda chance: sealed(_GOOD + b"\x01b" + bytes([chance.randrange(10, 256)]), b"{}"),
    "a number cut short": _cut(2, 3, 4, 5, 8),
    "a string cut short": _cut(STRING),
    "bytes cut short": _cut(6),
    "a uuid cut short": _cut(9),
    "no UTF-8 in a name": lambda _: sealed(_GOOD + b"\x02\xc3\x28\x00", b"{}"),
    "no UTF-8 in a value": lambda _: sealed(_GOOD + b"\x01b\x07\x00\x01\xff", b"{}"),
    "headers beyond the frame": lambda _: sealed(_GOOD, b"{}", headers_length=len(_GOOD) + 3),
    "too short a frame": lambda chance: prelude(chance.randrange(16), 0),
}
