"""What the metrics say of the log: how far it is behind, and what is served without it."""

from dataclasses import replace

import pytest
from shown_metrics import shown
from waiting import until
from writer_desk import Desk, open_desk

LOSSES = ("start", "renewal", "append", "end", "recovery")


def lag(desk: Desk) -> tuple[float, float]:
    """Events that are not acknowledged, and the age of the oldest."""
    names = ("stream_log_unacknowledged_events", "stream_log_lag_seconds")
    events, seconds = (shown(desk.metrics, name) for name in names)
    return events, seconds


def degraded(desk: Desk) -> tuple[float, float]:
    """Streams served without their log now, and for how long such were up to now."""
    names = ("streams_degraded", "streams_degraded_seconds_total")
    now, seconds = (shown(desk.metrics, name) for name in names)
    return now, seconds


async def test_what_waits_is_counted_with_the_age_of_the_oldest() -> None:
    async with open_desk(window=60) as desk:
        assert lag(desk) == (0, 0)
        desk.say("a")
        desk.clock.advance(3)
        desk.say("b")
        other = desk.new_stream()
        other.emit("start", {})
        desk.writer.submit(other)
        desk.clock.advance(1)
        assert lag(desk) == (3, 4)
        desk.say("c", urgent=True)
        await desk.logged(3)
        await until(lambda: other.logged == 1)
        assert lag(desk) == (0, 0)


async def test_what_came_while_an_append_was_under_way_is_no_older_than_it() -> None:
    async with open_desk(window=60) as desk:
        whole = desk.log.append

        async def slow(appends):  # type: ignore[no-untyped-def]  # as the log's own
            answers = await whole(appends)
            desk.clock.advance(2)
            if len(desk.log.batches) == 1:
                desk.say("late", urgent=True)
                desk.clock.advance(1)
            else:
                seen.append(lag(desk))
            return answers

        seen: list[tuple[float, float]] = []
        desk.log.append = slow  # type: ignore[method-assign]  # with time passing
        desk.say("early")
        desk.clock.advance(10)
        desk.say("early too", urgent=True)
        await desk.logged(3)
        assert seen == [(1, 5)]  # three from the first append on, two for its own
        assert lag(desk) == (0, 0)


async def test_an_answered_append_is_measured_and_a_failed_one_is_not() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.say("a")
        await desk.released(1)
        assert shown(desk.metrics, "stream_log_append_seconds_count") == 0
        desk.log.away = False
        await desk.logged(1)
        assert shown(desk.metrics, "stream_log_append_seconds_count") == 1


async def test_time_without_the_log_is_summed_over_streams_while_it_lasts() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        other = desk.new_stream()
        other.emit("start", {})
        desk.writer.submit(other)
        desk.say("a")
        await until(lambda: degraded(desk)[0] == 2)
        desk.clock.advance(5)
        assert degraded(desk) == (2, 10)
        assert lag(desk)[1] == 5
        desk.log.away = False
        await until(lambda: degraded(desk)[0] == 0)
        desk.clock.advance(5)
        assert degraded(desk) == (0, 10)
        assert lag(desk) == (0, 0)


async def test_a_lost_answer_alone_is_time_without_the_log_only_until_it_is_found_out() -> None:
    async with open_desk() as desk:
        desk.log.lose_answers = 1
        desk.say("a")
        await desk.logged(1)
        await until(lambda: degraded(desk)[0] == 0)
        assert lag(desk) == (0, 0)


@pytest.mark.parametrize("ending", ["lost", "retired"])
async def test_a_stream_that_is_no_longer_served_here_counts_no_more(ending: str) -> None:
    async with open_desk() as desk:
        desk.log.away = True
        desk.say("a")
        await until(lambda: degraded(desk)[0] == 1)
        desk.clock.advance(2)
        if ending == "lost":
            desk.live.lose()
        else:
            desk.live.stream = replace(desk.live.stream, live=False)
            desk.live.retired = True
        await until(lambda: degraded(desk)[0] == 0)
        assert degraded(desk) == (0, 2)
        assert lag(desk) == (0, 0)
        desk.log.away = False
        other = desk.new_stream()
        other.emit("start", {})
        desk.writer.submit(other)
        await until(lambda: other.logged == 1)
        assert desk.numbers() == []  # what nobody follows any more is not written after all


async def test_a_fence_lost_in_an_append_is_counted_once() -> None:
    async with open_desk() as desk:
        await desk.log.raise_fence(desk.live.stream.id, 2, ttl_seconds=60)
        desk.say("a")
        await until(lambda: desk.live.fenced)
        desk.say("b")
        lost = {place: shown(desk.metrics, "fences_lost_total", where=place) for place in LOSSES}
        assert lost == {**dict.fromkeys(LOSSES, 0), "append": 1}


async def test_a_log_that_was_never_written_here_is_a_lost_fence() -> None:
    async with open_desk() as desk:
        desk.log.entries[desk.live.stream.id] = [(9, b"")]
        desk.say("a")
        await until(lambda: desk.live.fenced)
        assert shown(desk.metrics, "fences_lost_total", where="append") == 1
