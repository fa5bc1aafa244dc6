"""One request and its answer, as whoever measures sees it: bytes and when they came."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.stream.endpoint import MARK

_MARK = MARK.encode()
_OK = b"HTTP/1.1 200"
_PIECES = 8  # of the end of an answer, kept to see how it ended


@dataclass
class Tally:
    """What came of a run's streams. Times are in seconds."""

    first_delta: list[float] = field(default_factory=list)
    """From the request to the first delta, for each stream."""
    gaps: list[float] = field(default_factory=list)
    """Between one delta and the next; 0 for those that came together."""
    rates: list[float] = field(default_factory=list)
    """Deltas a second from the first to the last, for each stream."""
    whole: int = 0
    lost: list[str] = field(default_factory=list)
    """How each stream ended that brought not all deltas, or no terminal event."""


class Reader(asyncio.Protocol):
    """Asks once on a connection of its own and reads to the end.

    A program's HTTP client would cost more than what is measured, so this reads bytes: `end` is
    what a whole answer has near its end, `deltas` how many deltas it has.
    """

    def __init__(self, request: bytes, *, deltas: int, end: bytes, tally: Tally) -> None:
        self._request = request
        self._wanted = deltas
        self._end = end
        self._tally = tally
        self._last_pieces: deque[bytes] = deque(maxlen=_PIECES)
        self._beginning = b""
        self._overlap = b""
        self._deltas = 0
        self._asked_at = self._first_at = self._last_at = 0.0
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        """Done when an answer begins, or none will."""
        self.ended: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._asked_at = time.perf_counter()
        # uvloop's derives from none of asyncio's
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note when how many deltas came."""
        if not self._beginning:
            self._beginning = data
            self._begin()
        self._last_pieces.append(data)
        found = (self._overlap + data).count(_MARK)
        self._overlap = data[1 - len(_MARK) :]
        if not found:
            return
        now = time.perf_counter()
        if not self._deltas:
            self._first_at = now
            self._tally.first_delta.append(now - self._asked_at)
        else:
            self._tally.gaps.append(now - self._last_at)
        self._tally.gaps.extend([0.0] * (found - 1))
        self._last_at = now
        self._deltas += found

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge whether it was whole."""
        ending = b"".join(self._last_pieces)
        if self._deltas == self._wanted and self._end in ending:
            self._tally.whole += 1
            if self._last_at > self._first_at:
                self._tally.rates.append((self._deltas - 1) / (self._last_at - self._first_at))
        else:
            shown = self._beginning if not self._beginning.startswith(_OK) else ending
            self._tally.lost.append(
                f"{self._deltas} of {self._wanted} deltas, {exc or 'closed'}: {shown[-400:]!r}"
            )
        self._begin()
        if not self.ended.done():
            self.ended.set_result(None)

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)


async def ask(port: int, make: Callable[[], Reader]) -> Reader:
    """Connect and ask."""
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(make, "127.0.0.1", port)
    return reader
