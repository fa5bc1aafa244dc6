"""Reading server-sent events, by the rules of the HTML standard (section 9.2.6)."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SseEvent:
    """One dispatched event. `id` is the last id seen so far, as a browser would report it."""

    event: str
    data: str
    id: str

    def json(self) -> dict[str, Any]:
        """The data as a JSON object."""
        decoded = json.loads(self.data)
        if not isinstance(decoded, dict):
            raise TypeError(f"not an object: {self.data!r}")
        return decoded


class SseParser:
    """Turns bytes, cut anywhere, into events. Lines end with CRLF, LF or CR."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._line = bytearray()
        self._after_cr = False
        self._first_line = True
        self._event = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events that this piece completes."""
        events: list[SseEvent] = []
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        # bytes.splitlines knows CR, LF and CRLF only, as the standard does
        for line in piece.splitlines(keepends=True):
            self._line += line.rstrip(b"\r\n")
            if line.endswith((b"\r", b"\n")):
                event = self._end_of_line()
                if event is not None:
                    events.append(event)
        self._after_cr = piece.endswith(b"\r") or (self._after_cr and not piece)
        return events

    def _end_of_line(self) -> SseEvent | None:
        raw = bytes(self._line)
        self._line.clear()
        if self._first_line:
            raw = raw.removeprefix(BOM)
            self._first_line = False
        if not raw:
            return self._dispatch()
        field, _, value = raw.decode("utf-8", errors="replace").partition(":")
        self._take(field, value.removeprefix(" "))
        return None

    def _take(self, field: str, value: str) -> None:
        match field:
            case "":
                self.comments += 1
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_event_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
            case _:
                pass  # the standard says to ignore it

    def _dispatch(self) -> SseEvent | None:
        event, data = self._event, self._data
        self._event, self._data = "", []
        if not data:
            return None
        return SseEvent(event=event or "message", data="\n".join(data), id=self.last_event_id)


async def sse_events(response: httpx.Response) -> AsyncIterator[SseEvent]:
    """The events of an open streaming response, until the server ends it."""
    parser = SseParser()
    async for piece in response.aiter_raw():
        for event in parser.feed(piece):
            yield event
