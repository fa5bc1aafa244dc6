"""Redis dies, freezes, or loses what it had, at each phase of a stream and of its readers."""

import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from e2e_people import People, Shown
from fault_checks import Cell, Place, Scene, Victim, check_kept, logged, stream_of
from fault_places import P2, P3, P4, P5, P6, Begin, paused
from fault_readers import asking, chunks, following, observing, reading

from aula_devstack.platform import Platform

_EARLY = Place(P3.phase, P3.name, 10)


@dataclass(frozen=True)
class Failure:
    """How Redis goes and comes back; `older` holds its data of some time before."""

    name: str
    go: Callable[[Platform], None]
    come_back: Callable[[Platform, Path], None]

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def is_felt(self) -> bool:
        """Whether it is away for a time."""
        return self.go is not _flush


def _flush(platform: Platform) -> None:
    with redis.Redis.from_url(platform.redis.url) as client:
        client.flushall()


def _keep(platform: Platform, older: Path) -> None:
    platform.redis.stop()
    shutil.copytree(platform.redis.data, older)
    platform.redis.start()


def _restore(platform: Platform, older: Path) -> None:
    shutil.rmtree(platform.redis.data)
    shutil.copytree(older, platform.redis.data)
    platform.redis.start()


KILLED = Failure(
    "kill -9 redis",
    lambda platform: platform.redis.kill(),
    lambda platform, _: platform.redis.start(),
)
FROZEN = Failure(
    "redis frozen",
    lambda platform: platform.redis.suspend(),
    lambda platform, _: platform.redis.resume(),
)
FLUSHED = Failure("redis flushed", _flush, lambda _platform, _older: None)
OLDER = Failure("redis from an older file", lambda platform: platform.redis.stop(), _restore)
_FAILURES = (KILLED, FROZEN, FLUSHED, OLDER)


def _told_degraded(shown: Shown) -> bool:
    return any(event.event == "degraded" for event in shown.events)


async def _check_whole(
    now: Cell, scene: Scene, shown: Shown, platform: Platform, **others: Shown
) -> None:
    """All saw the same to its end, and the owner has written again all that the log had lost."""
    now.check("ran to its end", shown.terminal["status"] == "complete")
    for who, seen in others.items():
        now.check(f"whole {who}", seen.text == shown.text)
        now.check(f"one end {who}", seen.terminal["event"] == "complete")
        now.check(f"no gap {who}", seen.numbers == list(range(1, len(seen.numbers) + 1)))
    answer = await check_kept(now, scene, shown, platform)

    async def whole() -> bool:
        log = logged(platform, stream_of(answer))
        ended = bool(log.events) and log.events[-1].event == "complete"
        return ended and log.text == answer["content"]

    await now.reach("log whole again", whole)


@pytest.mark.parametrize(
    ("failure", "place"),
    [
        pytest.param(
            failure,
            place,
            id=f"{failure}-{place}",
            marks=[] if (failure, place) == (OLDER, P3) else pytest.mark.deep,
        )
        for failure in _FAILURES
        for place in (P2, P3, P4, P5, P6)
    ],
)
async def test_log_fails(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    tmp_path: Path,
    failure: Failure,
    place: Place,
) -> None:
    now, scene = cell(failure.name, place.phase), await Scene.set(people)
    older, kept_early = tmp_path / "older", failure is OLDER and place is not P2
    if failure is OLDER and place is P2:
        _keep(platform, older)
    (_EARLY if kept_early else place).arm(victim, "pause")
    async with AsyncExitStack() as stack:
        student = await stack.enter_async_context(reading(asking(scene, victim.process.url)))
        if kept_early:
            async with paused(victim, _EARLY):
                _keep(platform, older)
                place.arm(victim, "pause")
        async with paused(victim, place):
            elsewhere = await stack.enter_async_context(
                reading(following(scene, platform.chat.url))
            )
            await elsewhere.until(lambda shown: shown.numbers)
            failure.go(platform)
            if failure.is_felt:
                await elsewhere.until(_told_degraded)
        try:
            if failure.is_felt:
                await student.until(_told_degraded)
        finally:
            failure.come_back(platform, older)
        shown, followed = await student.end(), await elsewhere.end()

    now.check("struck", victim.failpoints.struck(place.name))
    if failure.is_felt:
        now.check("told degraded", _told_degraded(shown) and _told_degraded(followed))
    await _check_whole(now, scene, shown, platform, elsewhere=followed)


@pytest.mark.deep
@pytest.mark.parametrize("failure", _FAILURES, ids=str)
async def test_log_fails_while_others_come_to_read(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    tmp_path: Path,
    failure: Failure,
) -> None:
    now, scene = cell(failure.name, "P7 resumed, observed"), await Scene.set(people)
    supervisor, older = await people.supervisor(), tmp_path / "older"
    await people.relate(supervisor, scene.student)
    _EARLY.arm(victim, "pause")
    async with AsyncExitStack() as stack:
        student = await stack.enter_async_context(reading(asking(scene, victim.process.url)))
        async with paused(victim, _EARLY):
            if failure is OLDER:
                _keep(platform, older)
            P3.arm(victim, "pause")
        async with paused(victim, P3):
            await student.until(lambda shown: chunks(shown) >= _EARLY.times)
            before = Shown(list(student.shown.events))
            failure.go(platform)
            resumed = await stack.enter_async_context(
                reading(following(scene, platform.chat.url, after=before.last_id))
            )
            observer = await stack.enter_async_context(reading(observing(scene, supervisor)))
            if failure.is_felt:
                await resumed.until(_told_degraded)
                await observer.until(_told_degraded)
        try:
            if failure.is_felt:
                await student.until(_told_degraded)
        finally:
            failure.come_back(platform, older)
        shown, observed = await student.end(), await observer.end()
        rest = await resumed.end()

    now.check("struck", victim.failpoints.struck(P3.name))
    if failure.is_felt:
        now.check("told degraded", all(map(_told_degraded, (shown, rest, observed))))
    whole = Shown([*before.events, *rest.events])
    await _check_whole(now, scene, shown, platform, resumed=whole, observed=observed)
