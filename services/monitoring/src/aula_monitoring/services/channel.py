"""What is on its way to one observer."""

import asyncio
from collections import deque
from collections.abc import Callable

_LIMIT_BYTES = 256 * 1024


class Channel:
    """Bytes from a task that fetches them to a response that sends them, bounded.

    `abandoned` is called when the reader leaves, before or after the end.
    """

    def __init__(self, *, abandoned: Callable[[], None], limit: int = _LIMIT_BYTES) -> None:
        self._abandoned = abandoned
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Add to what waits; waits itself while that is too much."""
        while self._size >= self._limit:
            self._writable.clear()
            await self._writable.wait()
        self._waiting.append(data)
        self._size += len(data)
        self._readable.set()

    def close(self, last: bytes, *, discard: bool) -> None:
        """Let the reader end after `last`; with `discard` it gets nothing else any more."""
        if discard:
            self._waiting.clear()
        if last:
            self._waiting.append(last)
        self._closed = True
        self._readable.set()

    def __aiter__(self) -> "Channel":
        return self

    async def __anext__(self) -> bytes:
        """All that waits, in one piece."""
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self._writable.set()
        return data

    async def aclose(self) -> None:
        """The reader has left, or has got everything."""
        self._abandoned()
