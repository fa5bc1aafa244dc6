"""How an erasure goes on: what waits, what fails, what comes late."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from quick_clock import QuickClock
from stream_builders import MOMENT

from aula_chat.domain.erasures import Erasure
from aula_chat.domain.errors import NothingStreamsError, SessionStreamsError
from aula_chat.domain.models import DEFAULT_MODEL
from aula_chat.domain.sessions import Session
from aula_chat.services.subjects import Subjects
from aula_common.errors import UnavailableError

USER = "usr_one"


def session(session_id: str) -> Session:
    return Session(
        id=session_id,
        user_id=USER,
        title="Tides",
        model_id=DEFAULT_MODEL,
        created_at=MOMENT,
        updated_at=MOMENT,
    )


class World:
    """One person's sessions and erasure, as the four parts that Subjects uses see them."""

    def __init__(self, *session_ids: str) -> None:
        self.erasure: Erasure | None = None
        self.due_at: datetime | None = None
        self.there = [session(one) for one in session_ids]
        self.streaming: set[str] = set()
        self.texts = dict.fromkeys(session_ids, "a message")
        self.stopped: list[str] = []
        self.log_away = False

    async def ask(self, user_id: str, at: datetime) -> Erasure:
        if self.erasure is None:
            self.erasure, self.due_at = Erasure(user_id=user_id, asked_at=at), at
        return self.erasure

    async def add_sessions(self, _: str, session_ids: Sequence[str]) -> None:
        assert self.erasure is not None
        known = dict.fromkeys([*self.erasure.session_ids, *session_ids])
        self.erasure = replace(self.erasure, session_ids=tuple(known))

    async def finish(self, _: str, at: datetime, *, look_again_at: datetime | None) -> Erasure:
        assert self.erasure is not None
        self.erasure = replace(self.erasure, erased_at=self.erasure.erased_at or at)
        self.due_at = look_again_at
        return self.erasure

    async def take_due(self, at: datetime, *, look_again_at: datetime) -> Erasure | None:
        if self.due_at is None or self.due_at > at:
            return None
        self.due_at = look_again_at
        return self.erasure

    async def disown(self, _: str) -> list[Session]:
        return list(self.there)

    async def delete_of_sessions(self, *session_ids: str) -> None:
        for one in session_ids:
            self.texts.pop(one, None)

    async def remove(self, one: Session, *, forget_logs: bool) -> None:
        assert forget_logs
        if one.id in self.streaming:
            raise SessionStreamsError("str_one")
        if self.log_away:
            raise UnavailableError("Redis")
        self.there.remove(one)
        self.texts.pop(one.id, None)

    async def stop(self, session_id: str) -> None:
        self.stopped.append(session_id)
        if session_id not in self.streaming:
            raise NothingStreamsError
        self.streaming.remove(session_id)


def subjects_of(world: Any, clock: QuickClock) -> Subjects:
    return Subjects(
        erasures=world,
        stored_sessions=world,
        messages=world,
        sessions=world,
        streams=world,
        clock=clock,
    )


async def test_what_streams_is_stopped_and_removed_in_the_next_round() -> None:
    world, clock = World("ses_idle", "ses_busy"), QuickClock()
    world.streaming = {"ses_busy"}
    erasure = await subjects_of(world, clock).erase(USER)
    assert erasure.erased_at is not None
    assert (world.there, world.texts, world.stopped) == ([], {}, ["ses_busy"])


async def test_what_cannot_be_removed_now_is_left_to_the_sweep() -> None:
    world, clock = World("ses_one"), QuickClock()
    world.log_away = True
    subjects = subjects_of(world, clock)
    assert (await subjects.erase(USER)).erased_at is None
    await subjects.sweep()
    assert world.there
    world.log_away = False
    clock.advance(60)
    await subjects.sweep()
    assert world.erasure is not None
    assert world.erasure.erased_at == clock.now()
    assert not world.there


async def test_what_comes_late_is_removed_for_an_hour() -> None:
    world, clock = World("ses_one"), QuickClock()
    subjects = subjects_of(world, clock)
    receipt = await subjects.erase(USER)
    for _ in range(3):
        world.texts["ses_one"] = "stored late"
        world.there.append(session("ses_new"))  # by who died before it could take it back
        world.texts["ses_new"] = "a question"
        clock.advance(600)
        await subjects.sweep()
        assert (world.there, world.texts) == ([], {})
    clock.advance(3600)
    await subjects.sweep()
    assert world.due_at is None
    assert world.erasure is not None
    assert world.erasure.erased_at == receipt.erased_at
    assert set(world.erasure.session_ids) == {"ses_one", "ses_new"}


async def test_a_round_ends_in_time_however_much_there_is() -> None:
    clock = QuickClock()
    world = World(*(f"ses_{number}" for number in range(100)))

    class Slow(World):
        async def remove(self, one: Session, *, forget_logs: bool) -> None:
            clock.advance(1)
            await World.remove(world, one, forget_logs=forget_logs)

    slow = Slow()
    slow.there, slow.texts = world.there, world.texts
    began = clock.monotonic()
    assert (await subjects_of(slow, clock).erase(USER)).erased_at is None
    assert clock.monotonic() - began < timedelta(seconds=15).total_seconds()
    assert 0 < len(world.there) < 100
