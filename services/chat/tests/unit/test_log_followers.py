"""Following the streams of other processes by their logs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from memory_stream_log import MemoryStreamLog
from stream_builders import chunk, outcome, reservation, stream
from waiting import until

from aula_chat.domain.events import event_frame, number_of, split_frames
from aula_chat.domain.streams import Phase, Stream, intent_of
from aula_chat.services.followers import LogFollowers, _Followed
from aula_chat.services.stream_view import StreamView, follow
from aula_common.errors import UnavailableError
from aula_common.tasks import Supervisor
from aula_common.testing import ManualClock


class Documents:
    """The stream documents; `find` waits while `held`."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.away = False
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, stream_id: str) -> Stream | None:
        self.asked += 1
        await self.open.wait()
        if self.away:
            raise UnavailableError("the database")
        return self.streams.get(stream_id)


class Stand:
    """Followers at work."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryStreamLog()
        self.documents = Documents()
        self.followers = LogFollowers(
            self.log,
            self.documents,  # type: ignore[arg-type]  # what it needs of a repository
            clock=self.clock,
            period=0.001,
        )

    def running(self) -> Stream:
        running: Stream = stream(started_at=self.clock.now())
        self.documents.streams[running.id] = running
        return running

    def end(self, running: Stream, *, last_number: int, seconds_ago: float = 60) -> Stream:
        result = outcome()
        ended = replace(
            running, live=False, phase=Phase.ENDED, outcome=result, last_number=last_number,
            intent=intent_of(result, reservation()),
            ended_at=self.clock.now() - timedelta(seconds=seconds_ago),
        )  # fmt: skip
        self.documents.streams[running.id] = ended
        return ended

    def write(self, stream_id: str, *frames: bytes) -> None:
        entries = self.log.entries.setdefault(stream_id, [])
        entries.append((number_of(frames[-1]), b"".join(frames)))

    async def read(self, followed: Stream, after: int = 0) -> bytes:
        async with asyncio.timeout(5):
            with self.followers.following(followed) as view:
                return b"".join([data async for data in follow(view, after)])


@asynccontextmanager
async def open_stand() -> AsyncIterator[Stand]:
    stand, supervisor = Stand(), Supervisor()
    supervisor.spawn(stand.followers.run(), name="follow")
    try:
        yield stand
    finally:
        await supervisor.close()


def is_closed(view: StreamView) -> bool:
    return view.closing is not None


def terminal(stream_id: str, number: int) -> bytes:
    return event_frame(stream_id, number, "complete", {"status": "complete"})


async def test_a_log_is_followed_to_its_terminal_event() -> None:
    async with open_stand() as stand:
        running = stand.running()
        reading = asyncio.create_task(stand.read(running))
        for number in (1, 2):
            stand.write(running.id, chunk(running.id, number, "x"))
        stand.write(running.id, terminal(running.id, 3))
        seen = list(split_frames(await reading))
        assert [number_of(frame) for frame in seen] == [1, 2, 3]


async def test_readers_elsewhere_are_told_what_the_document_says_was_left_out() -> None:
    async with open_stand() as stand:
        running = stand.running()
        late = replace(running, dropped_messages=7)  # the first look may come before the promise
        with stand.followers.following(running) as view, stand.followers.following(late):
            pass
        assert view.dropped == 7
        with stand.followers.following(late) as view, stand.followers.following(running):
            pass
        assert view.dropped == 7


async def test_a_gap_is_not_shown_until_it_is_filled() -> None:
    async with open_stand() as stand:
        running = stand.running()
        frames = [*(chunk(running.id, n, str(n)) for n in (1, 2, 3)), terminal(running.id, 4)]
        stand.write(running.id, frames[0])
        stand.write(running.id, frames[2])
        with stand.followers.following(running) as view:
            async with asyncio.timeout(5):
                while view.released < 1:
                    await view.changed()
            assert view.released == 1
            stand.log.flush()
            stand.write(running.id, *frames)  # its owner writes everything again
            assert b"".join([data async for data in follow(view)]) == b"".join(frames)


async def test_an_ended_stream_is_read_from_its_log_before_its_document_is_asked() -> None:
    async with open_stand() as stand:
        other = stand.running()
        with stand.followers.following(other):
            stand.log.open.clear()
            reads = stand.log.reads
            await until(lambda: stand.log.reads > reads)  # of the other, and it takes its time
            running = stand.running()
            frames = [chunk(running.id, 1, "x"), terminal(running.id, 2)]
            stand.write(running.id, *frames)
            reading = asyncio.create_task(stand.read(stand.end(running, last_number=2)))
            quiet = replace(stand.running(), live=False)
            for _ in range(3):  # rounds of looking up
                del stand.documents.streams[quiet.id]
                stand.followers._followed[quiet.id] = gone = _Followed(
                    StreamView(quiet.id), now=0, quiet=0
                )
                gone.tried = True
                await until(partial(is_closed, gone.view))
                stand.documents.streams[quiet.id] = quiet
            del stand.followers._followed[quiet.id]
            stand.log.open.set()
            assert await reading == b"".join(frames)


async def test_an_ended_stream_without_log_is_finished_by_a_reload() -> None:
    async with open_stand() as stand:
        ended = stand.end(stand.running(), last_number=9)
        [frame] = split_frames(await stand.read(ended, after=4))
        assert number_of(frame) == 9
        assert b'"reload":true' in frame


async def test_a_stream_that_ended_just_now_has_a_moment_to_log_its_end() -> None:
    async with open_stand() as stand:
        running = stand.running()
        ended = stand.end(running, last_number=2, seconds_ago=0)
        stand.write(running.id, chunk(running.id, 1, "x"))
        reading = asyncio.create_task(stand.read(ended))
        await until(lambda: stand.documents.asked > 0)
        stand.write(running.id, terminal(running.id, 2))
        assert b"reload" not in await reading


async def test_a_stream_that_took_long_to_settle_has_its_moment_after_that() -> None:
    async with open_stand() as stand:
        running = stand.running()
        ended = replace(
            stand.end(running, last_number=2, seconds_ago=2), released_at=stand.clock.now()
        )
        stand.documents.streams[running.id] = ended
        stand.write(running.id, chunk(running.id, 1, "x"))
        reading = asyncio.create_task(stand.read(ended))
        await until(lambda: stand.documents.asked > 0)
        stand.write(running.id, terminal(running.id, 2))
        assert b"reload" not in await reading


async def test_an_ended_stream_whose_log_lost_its_tail_is_finished_without_a_wait() -> None:
    async with open_stand() as stand:
        running = stand.running()
        stand.write(running.id, chunk(running.id, 1, "x"))
        ended = stand.end(running, last_number=9)
        first, last = split_frames(await stand.read(ended))
        assert (number_of(first), number_of(last)) == (1, 9)


async def test_a_quiet_stream_whose_process_ended_it_is_finished() -> None:
    async with open_stand() as stand:
        running = stand.running()
        reading = asyncio.create_task(stand.read(running))
        stand.end(running, last_number=3)

        def passes() -> bool:
            stand.clock.advance(1)
            return reading.done()

        await until(passes)
        assert b'"reload":true' in reading.result()


async def test_a_refused_stream_and_one_that_is_gone_send_their_readers_away() -> None:
    async with open_stand() as stand:
        refused = replace(stand.running(), live=False, phase=Phase.ENDED)
        stand.documents.streams[refused.id] = refused
        gone = replace(stand.running(), live=False)
        del stand.documents.streams[gone.id]
        for followed in (refused, gone):
            assert b"event: reconnect" in await stand.read(followed)


async def test_a_database_that_hangs_holds_up_no_reading() -> None:
    async with open_stand() as stand:
        stand.documents.open.clear()
        ended = replace(stand.running(), live=False)
        hanging = asyncio.create_task(stand.read(ended))
        await until(lambda: stand.documents.asked > 0)
        running = stand.running()
        stand.write(running.id, terminal(running.id, 1))
        assert await stand.read(running) == terminal(running.id, 1)
        hanging.cancel()


async def test_readers_are_told_that_the_log_is_away() -> None:
    async with open_stand() as stand:
        running = stand.running()
        stand.log.away = True
        with stand.followers.following(running) as view:
            async with asyncio.timeout(5):
                while not view.degraded:
                    await view.changed()
                stand.log.away = False
                while view.degraded:
                    await view.changed()


async def test_nothing_is_kept_of_a_stream_that_nobody_follows() -> None:
    async with open_stand() as stand:
        running = stand.running()
        stand.write(running.id, terminal(running.id, 1))
        await stand.read(running)
        assert stand.followers._followed == {}


async def test_an_unexpected_failure_does_not_end_the_following() -> None:
    async with open_stand() as stand:
        running = stand.running()
        stand.log.entries[running.id] = [(1, b"not a frame\n\n")]
        reading = asyncio.create_task(stand.read(running))
        await until(lambda: stand.log.reads > 1)
        stand.log.entries[running.id] = [(1, terminal(running.id, 1))]
        assert await reading == terminal(running.id, 1)


async def test_readers_are_sent_away_when_the_process_is_about_to_end() -> None:
    async with open_stand() as stand:
        running = stand.running()
        with stand.followers.following(running) as view:
            stand.followers.send_away()
            assert [b"drain" in data async for data in follow(view)] == [True]
