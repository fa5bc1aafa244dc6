"""What readers follow: a stream's frames in this process's memory, and how far they may see.

A reader is a position in this list and the one piece that is being sent to it, so any number of
readers costs one copy of the text, and a slow one holds up nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from aula_chat.domain.events import is_terminal, notice_frame
from aula_chat.domain.readers import CutReason
from aula_chat.services.frames import Frames
from aula_common.logging import get_logger

_log = get_logger(__name__)
Take = Callable[[bytes], bool]
"""Gives a reader's connection frames; False if it can't take them at once, and took nothing."""
PIECE_BYTES = 16 * 1024  # handed to a reader at a time, unless one frame is larger


class StreamView:
    """The frames of one stream, the n-th at index n - 1.

    The owner's process appends its own frames and releases them once they are logged;
    elsewhere a follower appends what it reads from the log.
    """

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.frames = Frames()
        self.released = 0
        self.degraded = False
        self.observers = 0
        self.dropped = 0
        self.abandoned = False
        self.closing: bytes | None = None
        self._whole = False
        self._waiting: dict[asyncio.Future[int], Take] = {}

    @property
    def ended(self) -> bool:
        """Whether readers may see the terminal event."""
        return self._whole and self.released == len(self.frames)

    def append(self, frame: bytes) -> int:
        """Add the next frame; its number. Readers see it when it is released."""
        self.frames.append(frame)
        self._whole = is_terminal(frame)
        return len(self.frames)

    def release(self, number: int) -> None:
        """Let readers see the frames up to that number."""
        if number > self.released:
            before, self.released = self.released, min(number, len(self.frames))
            if self._waiting:
                self._hand_out(before)

    def behind(self, position: int) -> int:
        """The released bytes after that number."""
        return self.frames.size(position, self.released)

    def piece(self, position: int) -> tuple[bytes, int]:
        """The released frames after that number, as many as one piece holds; the last's number."""
        end = self.frames.last_within(position, self.released, PIECE_BYTES)
        return self.frames.joined(position, end), end

    def degrade(self, *, degraded: bool) -> None:
        """Tell the readers that the log is away, or that it is back."""
        if degraded != self.degraded:
            self.degraded = degraded
            self.wake()

    def count_observers(self, count: int) -> None:
        """Tell the student's own readers how many observe the session."""
        if count != self.observers:
            self.observers = count
            self.wake()

    def trim(self, dropped: int) -> None:
        """Tell the readers how many messages the model is not given."""
        if dropped != self.dropped:
            self.dropped = dropped
            self.wake()

    def abandon(self) -> None:
        """Send the readers away to come back: this process no longer knows how it goes on."""
        self.abandoned = True
        self.wake()

    def close(self, frame: bytes) -> None:
        """End the readers with this frame, where the log no longer can."""
        self.closing = frame
        self.wake()

    async def changed(self) -> None:
        """Wait until there is something new to see."""
        await self.taken(_takes_nothing)

    async def taken(self, take: Take) -> int:
        """Wait, having all that is released, for what `take` can't take; the last number it took.

        It is given frames as they are released, in this process's turn and not the reader's own:
        that makes hundreds of readers cheap. It gets neither the terminal event nor more than a
        piece at a time.
        """
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = take
        try:
            return await waiting
        finally:
            self._waiting.pop(waiting, None)

    async def finished(self) -> None:
        """Wait until readers were told how it ends, or to come back."""
        while not (self.ended or self.abandoned):
            await self.changed()

    def wake(self) -> None:
        """Have all readers look what is new."""
        for waiting in self._waiting:
            _tell(waiting, self.released)
        self._waiting.clear()

    def _hand_out(self, after: int) -> None:
        """Give those who wait what was released after that number; wake who can't take it."""
        data, end = self.piece(after)
        whole = end == self.released and not self.ended
        behind = [
            waiting for waiting, take in self._waiting.items() if not (whole and _takes(take, data))
        ]
        for waiting in behind:
            del self._waiting[waiting]
            _tell(waiting, after)


def _takes(take: Take, data: bytes) -> bool:
    try:
        return take(data)
    except Exception:  # noqa: BLE001 - whoever writes and the other readers must not suffer from it
        _log.exception("reader failed")
        return False  # so that it fails in its own turn


def _takes_nothing(data: bytes) -> bool:  # noqa: ARG001 - as whoever takes would be called
    return False


def _tell(waiting: asyncio.Future[int], number: int) -> None:
    if not waiting.done():  # it is cancelled when its reader leaves
        waiting.set_result(number)


class Permit:
    """Lets somebody read, until it is withdrawn."""

    def __init__(self) -> None:
        self.valid = True
        self._view: StreamView | None = None

    def withdraw(self) -> None:
        """End the reader, at once where it waits for a stream's next event."""
        self.valid = False
        if self._view is not None:
            self._view.wake()

    @contextmanager
    def reading(self, view: StreamView) -> Iterator[None]:
        """Within the block the reader reads this; afterwards nothing of it is held."""
        self._view = view
        try:
            yield
        finally:
            self._view = None


class _Told:
    """What a reader was told of a view beside its frames."""

    def __init__(self, *, observers: bool) -> None:
        self._tells_observers = observers
        self._degraded = False
        self._dropped = 0
        self._observers = 0

    def news(self, view: StreamView) -> bytes | None:
        """The next thing to tell, which counts as told."""
        if view.degraded != self._degraded:
            self._degraded = view.degraded
            if view.degraded:
                return notice_frame("degraded", {})
        if view.dropped != self._dropped:
            self._dropped = view.dropped
            return notice_frame("trimmed", {"droppedMessages": view.dropped})
        if self._tells_observers and view.observers != self._observers:
            self._observers = view.observers
            return notice_frame("observers", {"count": view.observers})
        return None


async def follow(
    view: StreamView,
    after: int = 0,
    *,
    permit: Permit | None = None,
    take: Take | None = None,
    buffer_bytes: int | None = None,
    cut: Callable[[CutReason], None] | None = None,
    tell_observers: bool = False,
) -> AsyncGenerator[bytes, None]:
    """The frames after that number as they come, to the terminal one, in bounded pieces.

    Unnumbered notices tell `degraded`, how many messages were `trimmed` off the prompt, how many
    observe if `tell_observers` (none until told, of both), and `reconnect` or `ended` where this
    ends without a terminal event; `cut` then hears why. A reader whose `permit` is withdrawn ends.
    While a reader has all there is, `take` is given what comes, and what it takes isn't yielded.
    A reader takes the next piece when its socket has taken the last. It is too slow if more than
    `buffer_bytes` were released meanwhile that it has not got. What was there when it came, or came
    in one go while it waited, doesn't count until it has been level with that; nor does anything
    once the stream has ended, as no more will come.
    """
    position, told = after, _Told(observers=tell_observers)
    reason: CutReason | None
    level: int | None = None  # up to here nothing is the reader's own delay
    permit = permit or Permit()
    with permit.reading(view):
        while not (view.ended and position >= view.released):  # nothing follows the terminal event
            if not permit.valid:
                reason, notice = CutReason.NOT_RENEWED, NOT_RENEWED
                break
            if (news := told.news(view)) is not None:
                yield news
                continue  # there may be more meanwhile
            if position < view.released:
                if (
                    buffer_bytes is not None
                    and level is not None
                    and position >= level
                    and view.behind(position) > buffer_bytes
                    and not view.ended
                ):
                    reason, notice = CutReason.SLOW, _SLOW
                    break
                data, position = view.piece(position)
                yield data
            elif view.closing is not None:
                reason = None if is_terminal(view.closing) else CutReason.GONE
                notice = view.closing
                break
            elif view.abandoned:
                reason, notice = CutReason.SENT_AWAY, SENT_AWAY
                break
            else:
                if take is not None and position == view.released:
                    position = await view.taken(take)
                else:  # it may have seen more than this process knows yet
                    await view.changed()
                level = view.released
        else:
            return
    if cut is not None and reason is not None:
        cut(reason)
    yield notice


NOT_RENEWED = notice_frame("ended", {"reason": "not_renewed"})
_SLOW = notice_frame("reconnect", {"reason": "slow", "retryAfterMs": 1000})
SENT_AWAY = notice_frame("reconnect", {"reason": "drain", "retryAfterMs": 1000})
