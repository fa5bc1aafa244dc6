"""Server-sent events as they pass through: cut apart, read, otherwise left as they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_END = b"\n\n"
COMMENT = b": \n\n"
MAX_FRAME_BYTES = 8 * 1024 * 1024


class FrameTooLargeError(Exception):
    """An event without an end."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: the bytes as they came, with its name and id read out of them."""

    raw: bytes
    event: str | None = None
    event_id: str | None = None

    @property
    def is_comment(self) -> bool:
        """Whether it says nothing and only keeps the line open."""
        return self.raw.startswith(b":") and self.event is None and self.event_id is None

    def data(self) -> Mapping[str, Any]:
        """The event's data; empty if it is not a JSON object."""
        lines = [line[5:] for line in self.raw.split(b"\n") if line.startswith(b"data:")]
        try:
            value = json.loads(b"\n".join(lines))
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def read_frame(raw: bytes) -> Frame:
    """The frame of these bytes; an id or a name that is not text counts as none."""
    event = event_id = None
    for line in raw.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"id":
            event_id = _text(value)
        elif name == b"event":
            event = _text(value)
    return Frame(raw, event, event_id)


class FrameSplitter:
    """Cuts a stream of bytes into whole frames, however they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with these bytes. FrameTooLargeError without an end."""
        *whole, self._rest = (self._rest + data).split(_END)
        if len(self._rest) > MAX_FRAME_BYTES:
            raise FrameTooLargeError
        return [read_frame(raw + _END) for raw in whole]


def _text(value: bytes) -> str | None:
    try:
        return value.decode().removeprefix(" ") or None
    except UnicodeDecodeError:
        return None
