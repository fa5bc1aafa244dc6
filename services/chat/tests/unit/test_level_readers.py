"""Readers that have all there is are given what comes, past their own turns."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from stream_builders import chunk
from structlog.testing import capture_logs
from waiting import PATIENCE, until

from aula_chat.domain.events import event_frame, number_of, split_frames
from aula_chat.domain.readers import CutReason
from aula_chat.services.stream_view import PIECE_BYTES, Permit, StreamView, follow


class Level:
    """A reader whose connection takes what it is given, while `takes` is true."""

    def __init__(self, view: StreamView, after: int = 0) -> None:
        self.view = view
        self.after = after
        self.takes = True
        self.breaks = False
        self.permit = Permit()
        self.cut: list[CutReason] = []
        self.seen = b""  # in the order in which it would go out
        self.given = 0
        self.yielded = 0

    def take(self, data: bytes) -> bool:
        if self.breaks:
            raise ConnectionResetError
        if self.takes:
            self.seen += data
            self.given += 1
        return self.takes

    async def read(self) -> None:
        reader = follow(
            self.view,
            self.after,
            permit=self.permit,
            take=self.take,
            cut=self.cut.append,
            tell_observers=True,
        )
        async for piece in reader:
            self.seen += piece
            self.yielded += 1

    @property
    def numbers(self) -> list[int]:
        frames = split_frames(self.seen)
        return [number_of(frame) for frame in frames if frame.startswith(b"id:")]


@pytest.fixture
def view() -> Iterator[StreamView]:
    view = StreamView("str_a")
    yield view
    assert view._waiting == {}  # nobody is left in it


@asynccontextmanager
async def reading(*levels: Level) -> AsyncIterator[list[asyncio.Task[None]]]:
    """They read inside the block, where they have all there is at first."""
    tasks = [asyncio.create_task(level.read()) for level in levels]
    try:
        async with asyncio.timeout(PATIENCE):
            await all_level(levels[0].view, len(levels))
            yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_level(view: StreamView, count: int = 1) -> None:
    await until(lambda: len(view._waiting) == count)


def write(view: StreamView, count: int = 1, size: int = 10) -> None:
    for _ in range(count):
        view.append(chunk(view.stream_id, len(view.frames) + 1, "x" * size))
    view.release(len(view.frames))


def end(view: StreamView) -> None:
    number = len(view.frames) + 1
    view.release(view.append(event_frame(view.stream_id, number, "complete", {})))


async def test_who_has_all_there_is_is_given_what_comes_and_asks_for_the_end(
    view: StreamView,
) -> None:
    write(view, 3)
    levels = [Level(view), Level(view, after=2)]
    async with reading(*levels) as tasks:
        assert [level.given for level in levels] == [0, 0]
        for _ in range(5):
            write(view)  # without a turn of the loop between
        assert [level.given for level in levels] == [5, 5]
        assert levels[0].numbers == list(range(1, 9))
        end(view)
        await asyncio.gather(*tasks)
    assert [level.numbers for level in levels] == [list(range(1, 10)), list(range(3, 10))]
    assert [level.yielded for level in levels] == [2, 2]


async def test_what_is_refused_comes_in_the_readers_own_turn_and_once(view: StreamView) -> None:
    refusing, other = Level(view), Level(view)
    async with reading(refusing, other) as tasks:
        write(view)
        refusing.takes = False
        write(view, 2)
        write(view)
        assert (refusing.numbers, other.numbers) == ([1], [1, 2, 3, 4])
        await all_level(view, 2)
        assert refusing.numbers == [1, 2, 3, 4]
        refusing.takes = True
        write(view)
        end(view)
        await asyncio.gather(*tasks)
    assert refusing.numbers == other.numbers == list(range(1, 7))
    assert refusing.given == 2


async def test_more_than_a_piece_comes_in_pieces(view: StreamView) -> None:
    level = Level(view)
    async with reading(level) as tasks:
        write(view, 40, size=1000)
        assert level.given == 0
        await all_level(view)
        assert level.yielded > 40 * 1000 // PIECE_BYTES
        write(view)
        end(view)
        await asyncio.gather(*tasks)
    assert level.given == 1
    assert level.numbers == list(range(1, 43))


async def test_who_has_seen_more_than_this_process_knows_gets_nothing_twice(
    view: StreamView,
) -> None:
    # it comes back to a replica that has yet to read the log
    ahead = Level(view, after=3)
    task = asyncio.create_task(ahead.read())
    await until(lambda: len(view._waiting) == 1)
    write(view, 2)
    await until(lambda: len(view._waiting) == 1)
    write(view)
    await all_level(view)
    write(view, 2)
    end(view)
    await task
    assert ahead.numbers == [4, 5, 6]


async def test_news_comes_between_frames_and_the_next_are_given_again(view: StreamView) -> None:
    level = Level(view)
    async with reading(level) as tasks:
        write(view)
        view.count_observers(7)
        await all_level(view)
        write(view)
        view.trim(2)
        view.degrade(degraded=True)
        await all_level(view)
        write(view)
        end(view)
        await asyncio.gather(*tasks)
    names = [frame.partition(b"event: ")[2].split(b"\n")[0] for frame in split_frames(level.seen)]
    assert names == [
        b"chunk", b"observers", b"chunk", b"degraded", b"trimmed", b"chunk", b"complete"
    ]  # fmt: skip
    assert level.given == 3


async def test_who_is_cut_gets_nothing_more_and_the_others_all(view: StreamView) -> None:
    withdrawn, going, gone, other = levels = [Level(view) for _ in range(4)]
    async with reading(*levels) as tasks:
        write(view)
        tasks[2].cancel()
        await all_level(view, 3)
        tasks[1].cancel()  # and it has not even had a turn to leave
        withdrawn.permit.withdraw()
        write(view)
        await tasks[0]
        await all_level(view, 1)
        write(view)
        end(view)
        await tasks[3]
    assert withdrawn.cut == [CutReason.NOT_RENEWED]
    assert withdrawn.seen.endswith(b'event: ended\ndata: {"reason":"not_renewed"}\n\n')
    assert withdrawn.numbers == [1]
    assert going.numbers == gone.numbers == [1]
    assert other.numbers == [1, 2, 3, 4]


async def test_who_is_sent_away_or_closed_is_told_why(view: StreamView) -> None:
    away = Level(view)
    async with reading(away) as tasks:
        write(view)
        view.abandon()
        await asyncio.gather(*tasks)
    assert away.numbers == [1]
    assert away.cut == [CutReason.SENT_AWAY]
    other = StreamView("str_b")
    closed = Level(other)
    async with reading(closed) as tasks:
        write(other)
        other.close(event_frame("str_b", 9, "complete", {"reload": True}))
        await asyncio.gather(*tasks)
    assert closed.numbers == [1, 9]


async def test_a_connection_that_breaks_harms_neither_the_writer_nor_the_others(
    view: StreamView,
) -> None:
    broken, other = Level(view), Level(view)
    with capture_logs() as lines:
        async with reading(broken, other) as tasks:
            broken.breaks = True
            write(view)
            await all_level(view, 2)
            broken.breaks = False
            end(view)
            await asyncio.gather(*tasks)
    assert broken.numbers == other.numbers == [1, 2]
    assert [line["event"] for line in lines] == ["reader failed"]
