"""The events of a stream as they go over the wire, numbered, kept and mirrored alike."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from aula_chat.domain.errors import EventIdInvalidError
from aula_common.ids import is_id
from aula_common.sse import sse_frame

_NAME = b"\nevent: "
_TERMINAL = (b"complete\n", b"error\n")
LAST_NUMBER = 10_000_000  # beyond what any stream has


class EventId(NamedTuple):
    """The position of an event: its stream, and its number from 1."""

    stream_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.stream_id}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """The id that a client sent back. EventIdInvalidError if it can't be one of ours."""
        stream_id, dot, number = text.rpartition(".")
        if not dot or not is_id(stream_id) or not number.isascii() or not number.isdigit():
            raise EventIdInvalidError
        if len(number) > len(str(LAST_NUMBER)):
            raise EventIdInvalidError
        return cls(stream_id, int(number))


def event_frame(stream_id: str, number: int, event: str, data: dict[str, Any]) -> bytes:
    """A numbered event as it is logged and sent."""
    return sse_frame(data, event=event, event_id=str(EventId(stream_id, number)))


def notice_frame(event: str, data: dict[str, Any]) -> bytes:
    """An event without a number: told to one reader, not kept."""
    return sse_frame(data, event=event)


def split_frames(data: bytes) -> Iterator[bytes]:
    """The single frames in a run of them; no frame holds a blank line but its last."""
    for part in data.split(b"\n\n"):
        if part:
            yield part + b"\n\n"


def number_of(frame: bytes) -> int:
    """The number of a frame of ours."""
    return int(frame[: frame.index(b"\n")].rpartition(b".")[2])


def is_terminal(frame: bytes) -> bool:
    """Whether the frame ends its stream."""
    at = frame.find(_NAME)
    return at > 0 and frame.startswith(_TERMINAL, at + len(_NAME))


def data_of(frame: bytes) -> tuple[str, dict[str, Any]]:
    """The event's name and its data."""
    fields = dict(line.split(b": ", 1) for line in frame.rstrip(b"\n").split(b"\n"))
    data: dict[str, Any] = json.loads(fields[b"data"])
    return fields[b"event"].decode(), data


def text_of(frames: Iterable[bytes]) -> str:
    """The text that these frames showed."""
    return "".join(data["text"] for event, data in map(data_of, frames) if event == "chunk")


def without_text(frame: bytes) -> bytes:
    """The frame as an observer sees it who may not read: a chunk keeps its counts only."""
    event, data = data_of(frame)
    if event != "chunk":
        return frame
    head = frame[: frame.index(b"\n")].removeprefix(b"id: ").decode()
    return sse_frame(
        {key: value for key, value in data.items() if key != "text"}, event=event, event_id=head
    )
