"""The log writer: log, then deliver; and one path that mends whatever befell a log."""

import asyncio
from collections.abc import Sequence
from typing import Any

from waiting import until
from writer_desk import open_desk

from aula_chat.domain.events import is_terminal, number_of, split_frames
from aula_chat.domain.ports import LogAnswer, LogAppend
from aula_chat.services.stream_view import PIECE_BYTES, follow


async def test_readers_see_what_the_log_has() -> None:
    async with open_desk() as desk:
        desk.say("a", "b", "c")
        assert desk.live.view.released == 0
        await desk.released(3)
        assert desk.numbers() == [1, 2, 3]
        assert desk.renewals == 0


async def test_what_waits_goes_in_one_batch_with_other_streams() -> None:
    async with open_desk() as desk:
        desk.say("a", "b")
        other = desk.new_stream()
        other.emit("start", {})
        desk.writer.submit(other)
        await desk.released(2)
        assert [len(batch) for batch in desk.log.batches] == [2]


async def test_many_go_in_several_batches_who_waited_longest_first() -> None:
    async with open_desk(most=2) as desk:
        others = [desk.new_stream() for _ in range(5)]
        for other in others:
            other.emit("start", {})
            desk.writer.submit(other)
        await until(lambda: all(other.logged for other in others))
        appended = [[append.stream_id for append in batch] for batch in desk.log.batches]
        ids = [other.stream.id for other in others]
        assert appended == [ids[:2], ids[2:4], ids[4:]]


async def test_when_the_log_is_away_nobody_waits_for_an_append_of_their_own() -> None:
    async with open_desk(most=1, pause=60) as desk:
        desk.log.away = True
        streams = [desk.new_stream() for _ in range(9)]
        for one in streams:
            one.emit("start", {})
            desk.writer.submit(one)
        await until(lambda: all(one.view.released for one in streams))
        assert desk.log.refused == 1


async def test_one_log_that_gives_no_answer_is_asked_again_and_keeps_back_no_other() -> None:
    async with open_desk() as desk:
        other = desk.new_stream()
        desk.log.silent.add(other.stream.id)
        other.emit("start", {})
        desk.writer.submit(other)
        desk.say("a")
        await desk.logged(1)
        assert not desk.live.view.degraded
        await until(lambda: other.view.released == 1)
        assert other.view.degraded
        desk.log.silent.clear()
        await until(lambda: other.logged == 1)
        assert not other.view.degraded


async def test_what_follows_an_urgent_event_waits_for_the_window() -> None:
    async with open_desk(window=60) as desk:
        desk.say("first", urgent=True)
        await desk.logged(1)
        desk.say("second")
        await asyncio.sleep(0.05)
        assert len(desk.log.batches) == 1


async def test_an_urgent_event_that_others_were_before_follows_them_at_once() -> None:
    async with open_desk(most=2, window=60) as desk:
        desk.say("a")
        await asyncio.sleep(0)  # it is gathered
        last = desk.new_stream()
        for one in (desk.new_stream(), last):
            one.emit("start", {})
            desk.writer.submit(one, urgent=one is last)
        await until(lambda: last.view.released == 1)
        assert [len(batch) for batch in desk.log.batches] == [2, 1]


async def test_a_long_backlog_goes_in_pieces_and_the_log_is_away_until_the_last() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.say(*(f"{number} {'x' * 1000}" for number in range(100)))
        await desk.released(100)
        degraded, append = list[bool](), desk.log.append

        async def watched(appends: Sequence[LogAppend]) -> list[LogAnswer | None]:
            degraded.append(desk.live.view.degraded)
            return await append(appends)

        desk.log.append = watched  # type: ignore[method-assign]
        desk.log.away = False
        await desk.logged(100)
        assert desk.numbers() == list(range(1, 101))
        assert (
            max(len(append.data) for batch in desk.log.batches for append in batch) <= PIECE_BYTES
        )
        assert len(degraded) > 100 * 1000 // PIECE_BYTES
        assert all(degraded)
        assert not desk.live.view.degraded


async def test_who_still_has_no_lease_after_asking_asks_again_in_a_while() -> None:
    pause, now = 0.2, asyncio.get_running_loop().time
    async with open_desk(pause=pause) as desk:
        desk.lease_stays_past = True  # as when the stream's end was stored, and it isn't known yet
        desk.clock.advance(31)
        began = now()
        desk.say("a")
        await until(lambda: desk.renewals > 1)
        assert now() - began > pause * 0.9  # timers may be a little early


async def test_an_urgent_event_that_came_during_an_append_follows_it_at_once() -> None:
    async with open_desk(window=60) as desk:
        desk.log.appending.clear()
        desk.say("first", urgent=True)
        await until(lambda: len(desk.log.batches) == 1)
        desk.say("last", urgent=True)
        desk.log.appending.set()
        await desk.released(2)


async def test_an_urgent_event_does_not_wait_for_the_window() -> None:
    async with open_desk(window=60) as desk:
        desk.say("first", urgent=True)
        await desk.released(1)


async def test_a_lost_acknowledgement_is_found_out_by_the_top() -> None:
    async with open_desk() as desk:
        desk.log.lose_answers = 1
        desk.say("a", "b")
        await desk.logged(2)
        desk.say("c")
        await desk.logged(3)
        assert desk.numbers() == [1, 2, 3]
        assert desk.renewals == 0  # the lease is valid, so what the log holds is ours


async def test_a_log_that_lacks_nothing_is_not_away_though_its_answer_was_lost() -> None:
    async with open_desk() as desk:
        desk.log.lose_answers = 1
        desk.say("a")
        await desk.released(1)
        degraded = [desk.live.view.degraded]
        await desk.logged(1)
        degraded.append(desk.live.view.degraded)
        assert degraded == [True, False]
        assert desk.numbers() == [1]


async def test_a_lost_tail_is_written_again() -> None:
    async with open_desk() as desk:
        for text in "abc":
            desk.say(text)
            await desk.logged(len(desk.live.view.frames))
        desk.log.lose_tail(desk.live.stream.id, keep=1)
        desk.say("d")
        await desk.logged(4)
        assert desk.numbers() == [1, 2, 3, 4]
        assert desk.renewals == 0


async def test_who_learns_of_a_lost_tail_after_the_lease_asks_first() -> None:
    async with open_desk() as desk:
        desk.say("a")
        await desk.logged(1)
        desk.log.lose_tail(desk.live.stream.id, keep=0)
        desk.log.appending.clear()
        desk.say("b")
        await until(lambda: len(desk.log.batches) == 2)
        desk.clock.advance(31)
        desk.log.appending.set()
        await desk.logged(2)
        assert desk.numbers() == [1, 2]
        assert desk.renewals == 1


async def test_what_the_log_holds_after_the_lease_is_not_taken_for_ours() -> None:
    # another process has the stream, and a flush took along the fence that would say so
    async with open_desk() as desk:
        desk.log.appending.clear()
        desk.say("ours")
        await until(lambda: len(desk.log.batches) == 1)
        desk.clock.advance(31)
        desk.taken = True
        desk.log.entries[desk.live.stream.id] = [(1, b"theirs")]
        desk.log.appending.set()
        await until(lambda: desk.live.fenced)
        assert desk.live.view.released == 0


async def test_a_flushed_log_is_written_from_the_first_event() -> None:
    async with open_desk() as desk:
        desk.say("a", "b")
        await desk.logged(2)
        desk.log.flush()
        desk.say("c")
        await desk.logged(3)
        assert desk.numbers() == [1, 2, 3]


async def test_the_end_is_told_even_if_the_log_was_flushed_just_before_it() -> None:
    # renewing a lease fails then, because the stream has ended: by this very process
    async with open_desk() as desk:
        desk.say("a", "b")
        await desk.logged(2)
        desk.log.flush()
        desk.end()
        seen = b"".join([data async for data in follow(desk.live.view)])
        assert [number_of(frame) for frame in split_frames(seen)] == [1, 2, 3]
        assert is_terminal(list(split_frames(seen))[-1])
        assert desk.numbers() == [1, 2, 3]


async def test_the_end_is_told_without_a_log_and_after_the_lease() -> None:
    async with open_desk() as desk:
        desk.say("a")
        await desk.logged(1)
        desk.log.away = True
        desk.clock.advance(31)
        desk.end()
        await desk.released(2)
        assert desk.live.view.ended


async def test_while_the_log_is_away_readers_are_served_from_memory_and_told() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.say("a")
        await desk.released(1)
        assert desk.live.view.degraded
        desk.live.emit("chunk", {"text": "b", "tokens": 1, "totalTokens": 2})
        assert desk.live.view.released == 2  # at once
        desk.log.away = False
        await desk.logged(2)
        assert desk.numbers() == [1, 2]
        assert not desk.live.view.degraded


async def test_without_log_and_lease_nothing_is_shown() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.database_away = True
        desk.say("a")
        await desk.released(1)
        desk.clock.advance(31)
        desk.say("b")
        await until(lambda: desk.renewals > 0)
        assert desk.live.view.released == 1
        desk.database_away = False
        await desk.released(2)


async def test_a_sleeper_asks_before_it_writes_and_learns_that_it_lost() -> None:
    async with open_desk() as desk:
        desk.clock.advance(31)
        desk.taken = True
        desk.say("late")
        await until(lambda: desk.live.fenced)
        assert not any(desk.log.batches)
        assert desk.live.view.released == 0
        assert [b"reconnect" in data async for data in follow(desk.live.view)] == [True]


async def test_a_higher_fence_in_the_log_ends_the_writing() -> None:
    async with open_desk() as desk:
        desk.say("a")
        await desk.logged(1)
        await desk.log.raise_fence(desk.live.stream.id, 2, ttl_seconds=60)
        desk.say("b")
        await until(lambda: desk.live.fenced)
        assert desk.numbers() == [1]
        assert desk.live.view.released == 1


async def test_a_log_that_holds_what_was_never_written_here_is_no_longer_ours() -> None:
    async with open_desk() as desk:
        desk.log.entries[desk.live.stream.id] = [(9, b"")]
        desk.say("a")
        await until(lambda: desk.live.fenced)


async def test_the_answer_to_an_append_tells_of_a_stop() -> None:
    async with open_desk() as desk:
        await desk.log.ask_stop(desk.live.stream.id, ttl_seconds=60)
        desk.say("a")
        await until(lambda: desk.live.stop_asked)


async def test_an_unexpected_failure_does_not_end_the_writer() -> None:
    async with open_desk() as desk:
        whole, failed = desk.log.append, asyncio.Event()

        async def fail(appends: Any) -> Any:
            desk.log.append = whole  # type: ignore[method-assign]  # broken once
            failed.set()
            raise ZeroDivisionError

        desk.log.append = fail  # type: ignore[method-assign]  # broken once
        desk.say("a")
        await failed.wait()
        await desk.logged(1)
        assert desk.numbers() == [1]


async def test_an_unexpected_failure_has_all_who_wait_served_from_memory() -> None:
    async with open_desk(most=1, pause=60) as desk:

        async def fail(appends: Any) -> Any:
            raise ZeroDivisionError

        desk.log.append = fail  # type: ignore[method-assign]  # broken for good
        streams = [desk.new_stream() for _ in range(9)]
        for one in streams:
            one.emit("start", {})
            desk.writer.submit(one)
        await until(lambda: all(one.view.released for one in streams))


async def test_a_reader_goes_on_from_any_event() -> None:
    async with open_desk() as desk:
        desk.say(*"abcd")
        desk.end()
        await desk.released(5)
        for after in range(6):
            seen = b"".join([data async for data in follow(desk.live.view, after)])
            assert [number_of(frame) for frame in split_frames(seen)] == list(range(after + 1, 6))


async def test_a_reader_is_told_once_that_the_log_is_away() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.say("a")
        await desk.released(1)
        desk.end()
        seen = b"".join([data async for data in follow(desk.live.view)])
        assert seen.count(b"event: degraded") == 1
