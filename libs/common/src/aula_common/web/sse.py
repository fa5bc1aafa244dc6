"""The response that carries server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aula_common.logging import get_logger
from aula_common.sse import sse_frame
from aula_common.web.protocol import ABORT, WRITE

_log = get_logger(__name__)

__all__ = ["EventStreamResponse", "Outlet", "sse_frame"]

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-store"),
    (b"x-accel-buffering", b"no"),
)
COMMENT = b": \n\n"
PART_BYTES = 16 * 1024  # of a larger chunk so much is given to the connection at a time


class Outlet:
    """A way to a response's connection past its iterator, while that waits for its next chunk.

    It spares a task's turn for each event; what it refuses goes through the iterator.
    """

    def __init__(self) -> None:
        self._take: Callable[[bytes], bool] = _refuse

    def opens_to(self, take: Callable[[bytes], bool]) -> None:
        """Give to this from now on."""
        self._take = take

    def closes(self) -> None:
        """Refuse all from now on."""
        self._take = _refuse

    def take(self, events: bytes) -> bool:
        """Send whole events if the connection takes them at once; whether it did."""
        return self._take(events)


def _refuse(events: bytes) -> bool:  # noqa: ARG001 - as whoever takes would be called
    return False


class EventStreamResponse(Response):
    """Sends byte chunks as they come, each within `send_deadline` seconds.

    A chunk is one or more whole events; of a large one each part of 16 KiB has the deadline to
    itself. A reader too slow for it is cut, which `on_cut` hears; one that leaves ends the
    iteration at once, and an iterator that has `aclose` is closed in each case. The next chunk is
    asked for when the connection has taken the last, so that no more than a few parts wait for a
    reader. A comment goes out when nothing else did for `comment_every` seconds.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        *,
        outlet: Outlet | None = None,
        headers: dict[str, str] | None = None,
        send_deadline: float = 20,
        comment_every: float = 15,
        on_cut: Callable[[], None] | None = None,
    ) -> None:
        self._chunks = chunks
        self._outlet = outlet
        self._write_now: Callable[[bytes], bool] = _refuse
        self._on_cut = on_cut
        self._send_deadline = send_deadline
        self._comment_every = comment_every
        self._sent_at = time.monotonic()
        self._stalled_since: float | None = None
        self._writing = asyncio.Lock()  # no comment between the parts of an event
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            *HEADERS,
            *((key.lower().encode(), value.encode()) for key, value in (headers or {}).items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream until it ends, the reader leaves or is too slow."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        # no middleware of ours does anything with a part of a body, and each costs a coroutine
        self._write_now = scope.get("extensions", {}).get(WRITE, _refuse)
        if self._outlet is not None:
            self._outlet.opens_to(self._take)
        try:
            async with asyncio.timeout(None) as sending:
                guarding = asyncio.create_task(
                    self._guard(scope, receive, send, sending), name="watch the reader"
                )
                try:
                    await self._send_all(send)
                finally:
                    guarding.cancel()
                    await asyncio.gather(guarding, return_exceptions=True)
        except TimeoutError:
            if not sending.expired():
                raise
        finally:
            if self._outlet is not None:
                self._outlet.closes()

    async def _send_all(self, send: Send) -> None:
        chunks = aiter(self._chunks)
        try:
            async for chunk in chunks:
                if self._take(chunk):
                    continue
                self._stalled_since = time.monotonic()
                if len(chunk) <= PART_BYTES:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                else:
                    await self._send_in_parts(send, chunk)
                self._stalled_since = None
                self._sent_at = time.monotonic()
            self._stalled_since = time.monotonic()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()

    def _take(self, chunk: bytes) -> bool:
        """Send a chunk if the connection takes it at once."""
        if len(chunk) > PART_BYTES or not self._write_now(chunk):
            return False
        self._sent_at = time.monotonic()
        return True

    async def _send_in_parts(self, send: Send, chunk: bytes) -> None:
        async with self._writing:
            for start in range(0, len(chunk), PART_BYTES):
                part = chunk[start : start + PART_BYTES]
                self._stalled_since = time.monotonic()
                await send({"type": "http.response.body", "body": part, "more_body": True})

    async def _guard(
        self, scope: Scope, receive: Receive, send: Send, sending: asyncio.Timeout
    ) -> None:
        """End the sending when the reader leaves or is too slow."""
        try:
            if await self._is_stuck(receive, send):
                _log.warning("reader cut", reason="stuck")
                if self._on_cut is not None:
                    self._on_cut()
                # closing would wait for the reader to take what is buffered
                if (abort := scope.get("extensions", {}).get(ABORT)) is not None:
                    abort()
                    await _leaves(receive, within=1)
        except Exception as error:  # noqa: BLE001 - whatever it was, no reader stays unguarded
            _log.warning("reader given up", error=repr(error))
        sending.reschedule(0)

    async def _is_stuck(self, receive: Receive, send: Send) -> bool:
        """Whether the reader is too slow; False when it has left. Comments go out in quiet times.

        One task for the stream and nothing for the chunk: this is the hottest path there is.
        """
        while True:
            if self._stalled_since is not None:
                wait = self._stalled_since + self._send_deadline - time.monotonic()
                if wait <= 0:
                    return True
            elif (wait := self._sent_at + self._comment_every - time.monotonic()) <= 0:
                try:
                    async with asyncio.timeout(self._send_deadline), self._writing:
                        await send(
                            {"type": "http.response.body", "body": COMMENT, "more_body": True}
                        )
                except TimeoutError:
                    return True
                self._sent_at = time.monotonic()
                continue
            if await _leaves(receive, within=min(wait, self._send_deadline)):
                return False


async def _leaves(receive: Receive, *, within: float) -> bool:
    """Whether the reader leaves within so many seconds."""
    try:
        async with asyncio.timeout(within):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
