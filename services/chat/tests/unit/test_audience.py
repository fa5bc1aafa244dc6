"""Who is told how many observe a session, and when."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, aclosing

import pytest
from stream_builders import chunk, stream

from aula_chat.domain.events import event_frame
from aula_chat.domain.observers import Watching
from aula_chat.services.audience import Audience
from aula_chat.services.stream_view import StreamView, follow
from aula_common.errors import UnavailableError
from aula_common.testing import ManualClock


class Hall:
    """A process' audience, over what all replicas know; `asked` are the looks that reached them."""

    def __init__(self) -> None:
        self.everywhere: dict[str, set[str]] = {}
        self.asked: list[set[str]] = []
        self.away = False
        self.meanwhile = ExitStack()
        self.clock = ManualClock()
        self.audience = Audience(self, clock=self.clock)  # type: ignore[arg-type]  # what it needs
        self.view = StreamView("str_one")

    async def count(
        self, sessions: Mapping[str, Watching], *, ttl_seconds: float
    ) -> dict[str, int]:
        assert ttl_seconds == 15
        if self.away:
            raise UnavailableError("redis")
        self.asked.append(set(sessions))
        self.meanwhile.close()
        for session_id, watching in sessions.items():
            known = self.everywhere.setdefault(session_id, set())
            known.difference_update(watching.gone)
            known.update(watching.present)
        return {session_id: len(self.everywhere[session_id]) for session_id in sessions}

    async def later(self, seconds: float) -> int:
        self.clock.advance(seconds)
        await self.audience.look()
        return self.view.observers


@pytest.fixture
def hall() -> Hall:
    return Hall()


async def test_those_who_come_and_go_here_are_told_of_at_the_next_look(hall: Hall) -> None:
    with hall.audience.told("ses_one", hall.view):
        assert await hall.later(0) == 0
        with hall.audience.observing("ses_one", "obs_a"):
            assert await hall.later(0.5) == 1
            with hall.audience.observing("ses_one", "obs_b"):
                assert await hall.later(0.5) == 2
            assert await hall.later(0.5) == 1
        assert await hall.later(0.5) == 0


async def test_those_of_other_replicas_are_told_of_within_a_period(hall: Hall) -> None:
    with hall.audience.told("ses_one", hall.view):
        await hall.later(0)
        hall.everywhere["ses_one"] = {"obs_elsewhere"}
        assert await hall.later(4) == 0
        assert await hall.later(1) == 1


async def test_an_observer_who_comes_back_before_it_has_gone_is_one(hall: Hall) -> None:
    with hall.audience.told("ses_one", hall.view):
        with hall.audience.observing("ses_one", "obs_a"):
            with hall.audience.observing("ses_one", "obs_a"):
                assert await hall.later(0) == 1
            assert await hall.later(0) == 1
        with hall.audience.observing("ses_one", "obs_a"):
            assert await hall.later(0) == 1
        assert await hall.later(0) == 0


async def test_a_count_that_cannot_be_asked_for_stays_and_who_left_is_told_later(
    hall: Hall,
) -> None:
    with hall.audience.told("ses_one", hall.view):
        with hall.audience.observing("ses_one", "obs_a"):
            assert await hall.later(0) == 1
            hall.away = True
        assert await hall.later(0) == 1
        hall.away = False
        assert await hall.later(5) == 0
        assert hall.everywhere["ses_one"] == set()


async def test_who_leaves_while_it_is_counted_is_told_at_the_next_look(hall: Hall) -> None:
    with hall.audience.told("ses_one", hall.view):
        hall.meanwhile.enter_context(hall.audience.observing("ses_one", "obs_a"))
        assert await hall.later(0) == 1
        assert await hall.later(0) == 0


async def test_only_sessions_with_somebody_here_are_asked_about_and_not_at_every_look(
    hall: Hall,
) -> None:
    await hall.later(0)
    assert hall.asked == []
    with hall.audience.told("ses_one", hall.view):
        for _ in range(10):
            await hall.later(0.5)
        with hall.audience.observing("ses_two", "obs_a"):
            await hall.later(0)
    assert hall.asked == [{"ses_one"}, {"ses_two"}]
    for _ in range(3):
        await hall.later(5)
    assert hall.asked[2:] == [{"ses_one", "ses_two"}]  # the last word, and no more


async def test_the_next_reader_of_the_same_stream_is_not_told_what_was(hall: Hall) -> None:
    with hall.audience.observing("ses_one", "obs_a"):
        with hall.audience.told("ses_one", hall.view):
            assert await hall.later(0) == 1
        assert hall.view.observers == 0


async def test_own_readers_are_told_without_a_number_and_observers_are_not() -> None:
    one = stream()
    view = StreamView(one.id)
    view.count_observers(2)
    view.append(chunk(one.id, 1, "a"))
    view.append(event_frame(one.id, 2, "complete", {}))
    view.release(2)
    told = [piece async for piece in follow(view, tell_observers=True)]
    assert told == [b'event: observers\ndata: {"count":2}\n\n', b"".join(view.frames)]
    assert [piece async for piece in follow(view)] == [b"".join(view.frames)]


async def test_nothing_is_told_after_the_terminal_event() -> None:
    one = stream()
    view = StreamView(one.id)
    view.append(event_frame(one.id, 1, "complete", {}))
    view.release(1)
    async with asyncio.timeout(10), aclosing(follow(view, tell_observers=True)) as reading:
        assert await anext(reading) == view.frames[0]
        view.count_observers(2)
        view.degrade(degraded=True)
        assert [piece async for piece in reading] == []


async def test_a_waiting_reader_is_told_of_each_change_once() -> None:
    view = StreamView("str_one")
    async with asyncio.timeout(10), aclosing(follow(view, tell_observers=True)) as reading:
        for count in (1, 3, 0):
            view.count_observers(count)
            view.count_observers(count)
            told = f'event: observers\ndata: {{"count":{count}}}\n\n'
            assert await anext(reading) == told.encode()
        view.abandon()
        assert b"reconnect" in await anext(reading)
