"""How far a reader may fall behind, and who is not to blame for being behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator

from stream_builders import chunk
from waiting import until

from aula_chat.domain.events import event_frame, number_of, split_frames
from aula_chat.domain.readers import CutReason
from aula_chat.services.stream_view import PIECE_BYTES, Permit, StreamView, follow

BUFFER = 4 * 1024
TEXT = "x" * 1000


class Pair:
    """A stream and one of its readers, who takes a piece when the test says so."""

    def __init__(self, view: StreamView | None = None, *, after: int = 0) -> None:
        self.view = view or StreamView("str_a")
        self.cut: list[CutReason] = []
        self.seen = b""
        self._reader: AsyncGenerator[bytes, None] = follow(
            self.view, after, buffer_bytes=BUFFER, cut=self.cut.append
        )

    def write(self, count: int) -> None:
        """Release so many frames of a good kilobyte in one go."""
        for _ in range(count):
            self.view.append(chunk("str_a", len(self.view.frames) + 1, TEXT))
        self.view.release(len(self.view.frames))

    def end(self) -> None:
        number = len(self.view.frames) + 1
        self.view.release(self.view.append(event_frame("str_a", number, "complete", {})))

    async def take(self) -> bytes:
        """The next piece."""
        async with asyncio.timeout(5):
            piece = await anext(self._reader)
        self.seen += piece
        return piece

    async def take_first_of(self, count: int) -> None:
        """Wait with everything in hand, and take the first piece of what then comes in one go."""
        taking = asyncio.create_task(self.take())
        await until(lambda: len(self.view._waiting) > 0)
        self.write(count)
        await taking

    async def take_rest(self) -> None:
        async with asyncio.timeout(5):
            async for piece in self._reader:
                self.seen += piece

    @property
    def numbers(self) -> list[int]:
        frames = split_frames(self.seen)
        return [number_of(frame) for frame in frames if frame.startswith(b"id:")]

    @property
    def told_slow(self) -> bool:
        return self.seen.endswith(
            b'event: reconnect\ndata: {"reason":"slow","retryAfterMs":1000}\n\n'
        )


async def test_a_reader_that_falls_behind_is_told_and_misses_nothing_when_it_comes_back() -> None:
    pair = Pair()
    await pair.take_first_of(1)
    pair.write(3)
    await pair.take()
    pair.write(8)  # while the socket takes that piece: more than the buffer
    await pair.take_rest()
    assert pair.told_slow
    assert pair.cut == [CutReason.SLOW]
    back = Pair(pair.view, after=pair.numbers[-1])
    back.end()
    await back.take_rest()
    assert pair.numbers + back.numbers == list(range(1, 14))
    assert back.cut == []


async def test_a_reader_within_its_buffer_is_left_alone() -> None:
    pair = Pair()
    await pair.take_first_of(1)
    for _ in range(20):
        pair.write(3)
        await pair.take()
    pair.end()
    await pair.take_rest()
    assert pair.numbers == list(range(1, 63))
    assert pair.cut == []


async def test_a_reader_that_begins_late_catches_up_however_far_it_is_behind() -> None:
    pair = Pair()
    pair.write(500)
    while len(pair.numbers) < 400:
        await pair.take()
        pair.write(3)  # and the stream goes on meanwhile, faster than the buffer would allow
    pair.end()
    await pair.take_rest()
    assert pair.numbers == list(range(1, len(pair.view.frames) + 1))
    assert pair.cut == []


async def test_a_reader_is_not_to_blame_for_what_came_in_one_go_while_it_waited() -> None:
    # the log was away for a while, say, and then a replica reads everything at once
    pair = Pair()
    await pair.take_first_of(1)
    await pair.take_first_of(100)
    while len(pair.numbers) < 101:
        await pair.take()
    pair.write(1)
    pair.end()
    await pair.take_rest()
    assert pair.numbers == list(range(1, 104))
    assert pair.cut == []


async def test_a_reader_that_is_behind_when_the_stream_ends_gets_the_rest() -> None:
    pair = Pair()
    await pair.take_first_of(1)
    pair.write(50)
    pair.end()
    await pair.take_rest()
    assert pair.numbers == list(range(1, 53))
    assert pair.cut == []


async def test_a_slow_reader_changes_nothing_for_another() -> None:
    slow = Pair()
    quick = Pair(slow.view)
    await asyncio.gather(slow.take_first_of(1), quick.take())
    for _ in range(10):
        slow.write(2)
        await quick.take()
    await slow.take_rest()
    assert slow.told_slow
    quick.end()
    await quick.take_rest()
    assert quick.numbers == list(range(1, 23))


async def test_a_reader_is_handed_bounded_pieces_of_whole_frames() -> None:
    pair = Pair()
    pair.write(100)
    pair.view.append(chunk("str_a", 101, "y" * 3 * PIECE_BYTES))  # one frame beyond any piece
    pair.write(1)
    pair.end()
    pieces = []
    while len(pair.numbers) < 103:
        pieces.append(await pair.take())
    assert all(piece.startswith(b"id: ") and piece.endswith(b"\n\n") for piece in pieces)
    sizes = [len(piece) for piece in pieces]
    assert [size for size in sizes if size > PIECE_BYTES] == [len(pair.view.frames[100])]
    assert len(pieces) < 15  # and not a piece for each frame


async def test_a_reader_in_this_process_has_no_bound() -> None:
    view = StreamView("str_a")
    pair = Pair(view)
    reader = follow(view)
    pair.write(1)
    await anext(reader)
    pair.write(100)
    pair.end()
    rest = [piece async for piece in reader]
    assert not any(b"reconnect" in piece for piece in rest)


async def test_why_a_reader_was_ended_is_told_once() -> None:
    away, gone, reloaded = Pair(), Pair(), Pair()
    away.view.abandon()
    gone.view.close(b'event: reconnect\ndata: {"reason":"gone"}\n\n')
    reloaded.view.close(event_frame("str_a", 7, "complete", {"reload": True}))
    for pair in (away, gone, reloaded):
        await pair.take_rest()
    assert (away.cut, gone.cut, reloaded.cut) == ([CutReason.SENT_AWAY], [CutReason.GONE], [])


async def test_a_reader_gets_nothing_that_is_not_released() -> None:
    pair = Pair()
    pair.write(2)
    pair.view.append(chunk("str_a", 3, TEXT))
    await pair.take()
    assert pair.numbers == [1, 2]


async def test_a_reader_whose_permit_is_withdrawn_is_ended_at_once_and_no_other() -> None:
    view, permits, cut = StreamView("str_a"), (Permit(), Permit()), list[CutReason]()
    withdrawn, other = (follow(view, permit=permit, cut=cut.append) for permit in permits)
    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(anext(reader)) for reader in (withdrawn, other)]
        await until(lambda: len(view._waiting) == 2)
        permits[0].withdraw()
        assert b"not_renewed" in await waiting[0]
        assert [piece async for piece in withdrawn] == []
        assert not waiting[1].done()
        view.release(view.append(event_frame("str_a", 1, "complete", {})))
        assert b"complete" in await waiting[1]
    assert cut == [CutReason.NOT_RENEWED]


async def test_whoever_waits_for_the_next_stream_holds_nothing_of_the_last() -> None:
    view, permit = StreamView("str_a"), Permit()
    view.release(view.append(event_frame("str_a", 1, "complete", {})))
    reader = follow(view, permit=permit)
    assert [b"complete" in piece async for piece in reader] == [True]
    held = weakref.ref(view)
    del view
    gc.collect()
    assert held() is None
    permit.withdraw()
