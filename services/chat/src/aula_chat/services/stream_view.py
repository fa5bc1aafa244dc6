"""What readers follow: a stream's frames in this process's memory, and how far they may see.

A reader is a position in this list and nothing more, so any number of readers costs one copy of
the text, and a slow one holds up nobody.
"""

import asyncio
from collections.abc import AsyncGenerator

from aula_chat.domain.events import is_terminal, notice_frame


class StreamView:
    """The frames of one stream, the n-th at index n - 1.

    The owner's process appends its own frames and releases them once they are logged;
    elsewhere a follower appends what it reads from the log.
    """

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.frames: list[bytes] = []
        self.released = 0
        self.degraded = False
        self.abandoned = False
        self.closing: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether readers may see the terminal event."""
        return 0 < self.released == len(self.frames) and is_terminal(self.frames[-1])

    def append(self, frame: bytes) -> int:
        """Add the next frame; its number. Readers see it when it is released."""
        self.frames.append(frame)
        return len(self.frames)

    def release(self, number: int) -> None:
        """Let readers see the frames up to that number."""
        if number > self.released:
            self.released = min(number, len(self.frames))
            self._wake()

    def degrade(self, *, degraded: bool) -> None:
        """Tell the readers that the log is away, or that it is back."""
        if degraded != self.degraded:
            self.degraded = degraded
            self._wake()

    def abandon(self) -> None:
        """Send the readers away to come back: this process no longer knows how it goes on."""
        self.abandoned = True
        self._wake()

    def close(self, frame: bytes) -> None:
        """End the readers with this frame, where the log no longer can."""
        self.closing = frame
        self._wake()

    async def changed(self) -> None:
        """Wait until there is something new to see."""
        await self._changed.wait()

    async def finished(self) -> None:
        """Wait until readers were told how it ends, or to come back."""
        while not (self.ended or self.abandoned):
            await self.changed()

    def _wake(self) -> None:
        event, self._changed = self._changed, asyncio.Event()
        event.set()


async def follow(view: StreamView, after: int = 0) -> AsyncGenerator[bytes, None]:
    """The frames after that number as they come, to the terminal one.

    Frames that are there together come in one piece. Unnumbered notices tell `degraded`, and
    `reconnect` where the view ends without a terminal event.
    """
    position, told = after, False
    while True:
        if view.degraded and not told:
            yield notice_frame("degraded", {})
        told = view.degraded
        if position < view.released:
            start, position = position, view.released
            yield b"".join(view.frames[start:position])
        elif view.ended:
            return
        elif view.closing is not None:
            yield view.closing
            return
        elif view.abandoned:
            yield notice_frame("reconnect", {"reason": "drain", "retryAfterMs": 1000})
            return
        else:
            await view.changed()
