"""What chat depends on dies, or loses an answer or a tail, at a phase of a stream."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from e2e_people import People, Shown, collect
from fault_checks import (
    STORY,
    Cell,
    Place,
    Scene,
    Victim,
    check_kept,
    check_nothing_happened,
)

from aula_devstack.platform import Platform

Begin = Callable[[str, str], Cell]
P1 = Place("P1 reserved", "reserved")
P3 = Place("P3 amid tokens", "chunk", 20)
P4 = Place("P4 usage in", "answered")
P5 = Place("P5 stored", "stored")
P6 = Place("P6 settled", "settled")


@asynccontextmanager
async def paused(victim: Victim, place: Place) -> AsyncIterator[None]:
    """The block runs while the victim waits at the place; then it goes on."""
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    try:
        yield
    finally:
        victim.failpoints.release(place.name)


async def test_answer_of_initialize_is_lost(people: People, victim: Victim, cell: Begin) -> None:
    now, scene = cell("initialize's answer lost", P1.phase), await Scene.set(people)
    P1.arm(victim, "raise")

    answer = await scene.student.client.post(
        f"{victim.process.url}/api/chat/sessions/{scene.session_id}/stream",
        json={"message": STORY},
    )

    now.check("struck", victim.failpoints.struck(P1.name))
    now.check("503 with Retry-After", answer.status_code == 503 and "Retry-After" in answer.headers)
    await check_nothing_happened(now, scene)


async def test_answer_of_finalize_is_lost(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("finalize's answer lost", P6.phase), await Scene.set(people)
    P6.arm(victim, "raise")

    shown = await scene.ask_at(victim.process.url)

    now.check("struck", victim.failpoints.struck(P6.name))
    now.check("told as pending", shown.terminal["settlement"] == "pending")
    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")


@pytest.mark.deep
@pytest.mark.parametrize("place", [P1, P3, P4, P5], ids=str)
@pytest.mark.parametrize("server", ["accounting", "postgres"])
async def test_money_is_away(
    platform: Platform, people: People, victim: Victim, cell: Begin, server: str, place: Place
) -> None:
    now, scene = cell(f"kill -9 {server}", place.phase), await Scene.set(people)
    process = platform.process(server)
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    async with paused(victim, place):
        process.kill()
    shown = await asyncio.wait_for(asking, 60)
    process.start()

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("ran to its end", shown.terminal["status"] == "complete")
    now.check("told as pending", shown.terminal["settlement"] == "pending")
    await check_kept(now, scene, shown, platform)


async def _flush(platform: Platform, _home: Path) -> None:
    with redis.Redis.from_url(platform.redis.url) as client:
        client.flushall()


async def _restart_from_older_file(platform: Platform, home: Path) -> None:
    platform.redis.stop()
    data = platform.redis.data
    assert data is not None
    shutil.rmtree(data)
    shutil.copytree(home / "older", data)
    platform.redis.start()


async def _kill(platform: Platform, _home: Path) -> None:
    platform.redis.kill()
    platform.redis.start()


@pytest.mark.parametrize(
    ("fault", "strike"),
    [
        pytest.param("redis flushed", _flush, marks=pytest.mark.deep),
        ("redis from an older file", _restart_from_older_file),
        pytest.param("kill -9 redis", _kill, marks=pytest.mark.deep),
    ],
)
async def test_log_loses_what_it_had(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    tmp_path: Path,
    fault: str,
    strike: Callable[[Platform, Path], Awaitable[None]],
) -> None:
    now, scene = cell(fault, P3.phase), await Scene.set(people)
    early = Place(P3.phase, P3.name, 10)
    early.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    async with paused(victim, early):
        platform.redis.stop()
        assert platform.redis.data is not None
        shutil.copytree(platform.redis.data, tmp_path / "older")
        platform.redis.start()
    path = f"/api/chat/sessions/{scene.session_id}/stream"
    elsewhere = asyncio.create_task(
        collect(scene.student.events("GET", path, base_url=platform.chat.url))
    )
    P3.arm(victim, "pause")
    async with paused(victim, P3):
        await strike(platform, tmp_path)
    shown = await asyncio.wait_for(asking, 60)
    followed: Shown = await asyncio.wait_for(elsewhere, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    now.check("ran to its end", shown.terminal["status"] == "complete")
    now.check("whole elsewhere", followed.text == shown.text)
    now.check("one end elsewhere", followed.terminal["event"] == "complete")
    await check_kept(now, scene, shown, platform)


@pytest.mark.deep
@pytest.mark.parametrize("place", [P3, P4], ids=str)
async def test_database_of_chat_is_away(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now, scene = cell("kill -9 mongodb", place.phase), await Scene.set(people)
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    async with paused(victim, place):
        platform.mongo.kill()
    platform.mongo.start()
    shown = await asyncio.wait_for(asking, 90)

    now.check("struck", victim.failpoints.struck(place.name))
    await check_kept(now, scene, shown, platform)
