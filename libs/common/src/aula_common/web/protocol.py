"""uvicorn's HTTP protocol, with bounds that it lacks."""

import asyncio
import weakref
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

ABORT = "aula.abort"  # the scope's extension that drops a connection at once, what is buffered too
WRITE = "aula.write"  # the scope's extension that is `write_now` of this request's answer
_HEAD_SECONDS = 10.0
_HEAD_BYTES = 65_536
_LINGER_SECONDS = 5.0
# what the connection holds beyond what the kernel took: above the first, senders wait until it
# is down to the second; with the defaults (64 and 16 KiB) a slow reader makes no visible progress
_HIGH_WATER_BYTES = 16 * 1024
_LOW_WATER_BYTES = 4 * 1024
_UNREAD_SECONDS = 60.0


class Protocol(HttpToolsProtocol):
    """Cuts who dawdles with a request's head, or goes on sending a body after its answer.

    Such an answer (too large, too slow) is not followed by an immediate close: a sender that
    is still busy would lose it. Who takes nothing of a complete answer for a minute is cut too:
    closing alone waits for ever until the reader has taken what is buffered.
    """

    _cut: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(_HIGH_WATER_BYTES, _LOW_WATER_BYTES)
        self._cut_after(_HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._cut_after(None)
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)
        # uvicorn tells the newest request alone, and who is answered may have sent others after it
        if (answering := self._answering) is not None and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()

    def on_message_begin(self) -> None:
        """A request's first byte came."""
        super().on_message_begin()
        self._head_bytes = 0
        self._cut_after(_HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._cut_after(None)
        super().on_headers_complete()
        if self._answering is None:
            self._answering = self.cycle
        # in time, as the application runs in a task; what the cycle has must not have the cycle
        extensions: dict[str, Any] = {
            ABORT: self.transport.abort,
            WRITE: partial(write_now, weakref.proxy(self.cycle)),
        }
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._cut_after(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out; perhaps before the body was in."""
        pipelined = bool(self.pipeline)
        self._answering = self.pipeline[-1][0] if pipelined else None
        super().on_response_complete()
        if not pipelined and self.cycle.more_body and not self.transport.is_closing():
            self._cut_after(_LINGER_SECONDS)
        if self._unread is None:
            self._watch_unread()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _HEAD_BYTES:
            msg = "the head is too large"
            raise ValueError(msg)  # the parser makes it a 400

    def _watch_unread(self, answer: object = None, before: int = 0) -> None:
        """Look every so often whether the reader takes what was answered; cut who doesn't."""
        self._unread = None
        unread = self.transport.get_write_buffer_size()
        if not unread or not self.cycle.response_complete:
            return  # taken, or the next answer is on its way: its end looks again
        if self.cycle is answer and unread >= before:
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(
                _UNREAD_SECONDS, self._watch_unread, self.cycle, unread
            )

    def _cut_after(self, seconds: float | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._cut = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


def write_now(cycle: RequestResponseCycle, body: bytes) -> bool:
    """Write a part of a begun answer's body, if nothing has to be waited for; whether it was.

    It is what `cycle.send` does with it then, without a coroutine in each layer above that.
    """
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_complete:
        return False
    if not cycle.chunked_encoding:
        return False
    cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
    return True
