"""Redis dies, freezes, or loses what it had, at each phase of a stream."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from e2e_people import People, Person, Shown, eventually
from fault_checks import Cell, Place, Scene, Victim, check_kept, logged, stream_of
from fault_places import P2, P3, P4, P5, P6, Begin, paused

from aula_devstack.platform import Platform

_EARLY = Place(P3.phase, P3.name, 10)


@dataclass(frozen=True)
class Failure:
    """How Redis goes and comes back; `older` holds its data of some time before."""

    name: str
    go: Callable[[Platform], None]
    come_back: Callable[[Platform, Path], None]
    from_older: bool = False

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
OLDER = Failure(
    "redis from an older file", lambda platform: platform.redis.stop(), _restore, from_older=True
)
_FAILURES = (KILLED, FROZEN, FLUSHED, OLDER)


async def _follow(person: Person, path: str, shown: Shown, *, url: str | None, after: str) -> None:
    """Note what a reader is shown until its end."""
    headers = {"Last-Event-ID": after} if after else {}
    async with aclosing(person.events("GET", path, base_url=url, headers=headers)) as events:
        async for event in events:
            shown.events.append(event)


async def _told(shown: Shown, event: str) -> None:
    async def told() -> bool:
        return any(one.event == event for one in shown.events)

    await eventually(told, every=0.02)


async def _check_log_whole(now: Cell, platform: Platform, stream_id: str, text: str) -> None:
    """The owner has written again all that was lost."""

    async def whole() -> bool:
        log = logged(platform, stream_id)
        return log.text == text and bool(log.events) and log.events[-1].event == "complete"

    now.check("log whole again", await eventually(whole))


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
    shown, followed, older = Shown(), Shown(), tmp_path / "older"
    if failure.from_older and place is P2:
        _keep(platform, older)
    elif failure.from_older:
        _EARLY.arm(victim, "pause")
    else:
        place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url, shown))
    if failure.from_older and place is not P2:
        async with paused(victim, _EARLY):
            _keep(platform, older)
            place.arm(victim, "pause")
    async with paused(victim, place):
        elsewhere = asyncio.create_task(
            _follow(scene.student, scene.path, followed, url=platform.chat.url, after="")
        )
        await _told(followed, "start")
        failure.go(platform)
        if failure.is_felt:
            await _told(followed, "degraded")
    try:
        if failure.is_felt:
            await _told(shown, "degraded")
    finally:
        failure.come_back(platform, older)
    await asyncio.wait_for(asking, 60)
    await asyncio.wait_for(elsewhere, 60)

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("ran to its end", shown.terminal["status"] == "complete")
    if failure.is_felt:
        now.check("told degraded", any(event.event == "degraded" for event in shown.events))
    now.check("whole elsewhere", followed.text == shown.text)
    now.check("one end elsewhere", followed.terminal["event"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    await _check_log_whole(now, platform, stream_of(answer), answer["content"])
