"""The response that carries server-sent events."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aula_common.logging import get_logger
from aula_common.sse import sse_frame

_log = get_logger(__name__)

__all__ = ["EventStreamResponse", "sse_frame"]

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-store"),
    (b"x-accel-buffering", b"no"),
)
COMMENT = b": \n\n"


class EventStreamResponse(Response):
    """Sends byte chunks as they come, each within `send_deadline` seconds.

    A reader too slow for that is cut; one that leaves ends the iteration at once. A comment
    goes out when nothing else did for `comment_every` seconds.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        *,
        headers: dict[str, str] | None = None,
        send_deadline: float = 20,
        comment_every: float = 15,
    ) -> None:
        self._chunks = chunks
        self._send_deadline = send_deadline
        self._comment_every = comment_every
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            *HEADERS,
            *((key.lower().encode(), value.encode()) for key, value in (headers or {}).items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """Serve the stream until it ends, the reader leaves or is too slow."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        sending = asyncio.create_task(self._send_all(send), name="send events")
        leaving = asyncio.create_task(_disconnected(receive), name="watch for the reader's leave")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.gather(leaving, sending, return_exceptions=True)
        if not sending.cancelled() and (error := sending.exception()) is not None:
            if isinstance(error, TimeoutError):
                _log.warning("reader cut", reason="slow")
            else:
                raise error

    async def _send_all(self, send: Send) -> None:
        chunks = aiter(self._chunks)
        pending: asyncio.Task[bytes] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(_next(chunks))
                done, _ = await asyncio.wait({pending}, timeout=self._comment_every)
                if not done:
                    await self._send(send, COMMENT)
                    continue
                try:
                    chunk = pending.result()
                except StopAsyncIteration:
                    break
                finally:
                    pending = None
                await self._send(send, chunk)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if pending is not None:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()

    async def _send(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._send_deadline):
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _next(chunks: Any) -> bytes:
    chunk: bytes = await anext(chunks)
    return chunk


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
