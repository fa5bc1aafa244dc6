"""A chat process is asked to end at a phase of a stream: it ends, hands over, loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from e2e_people import People, Shown, collect
from fault_checks import Cell, Place, Scene, Victim, check_kept
from fault_places import P2, P3, P4, P5, Begin, MakeVictim
from fault_processes import check_ends, not_ready

from aula_devstack.platform import Platform

PATIENT = "60"  # seconds, far more than a stream needs


async def _takes_nothing_new(now: Cell, victim: Victim) -> None:
    await now.reach("not ready at once", lambda: not_ready(victim))
    async with httpx.AsyncClient(base_url=victim.process.url) as client:
        refused = await client.get("/api/chat/sessions")
    now.check("503 for the new", refused.status_code == 503 and "Retry-After" in refused.headers)


@asynccontextmanager
async def _asked_to_end_at(
    place: Place, victim: Victim, scene: Scene
) -> AsyncIterator[asyncio.Task[Shown]]:
    """The victim has SIGTERM and waits at the place; it goes on after the block."""
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    victim.process.terminate()
    try:
        yield asking
    finally:
        victim.failpoints.release(place.name)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(P2, marks=pytest.mark.deep),
        P3,
        pytest.param(P4, marks=pytest.mark.deep),
        pytest.param(P5, marks=pytest.mark.deep),
    ],
    ids=str,
)
async def test_asked_to_end_finishes_what_ends_in_time(
    platform: Platform,
    people: People,
    make_victim: MakeVictim,
    cell: Begin,
    place: Place,
) -> None:
    now, scene = cell("SIGTERM chat", place.phase), await Scene.set(people)
    victim = make_victim(DRAIN_DEADLINE=PATIENT)
    async with _asked_to_end_at(place, victim, scene) as asking:
        if place is P3:
            await _takes_nothing_new(now, victim)
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("no stream cut", shown.terminal["status"] == "complete")
    await check_ends(now, victim)
    await check_kept(now, scene, shown, platform)


@pytest.mark.deep
async def test_asked_to_end_ends_by_itself_what_is_left_at_the_deadline(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat, deadline", P3.phase), await Scene.set(people)
    async with _asked_to_end_at(P3, victim, scene) as asking:
        await check_ends(now, victim)
        now.check("settled before the end", await scene.answer())
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    now.check("told", shown.terminal["code"] == "STREAM_INTERRUPTED")
    await check_kept(now, scene, shown, platform)


@pytest.mark.deep
async def test_asked_to_end_leaves_to_others_what_it_cannot_store(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("SIGTERM, mongodb frozen", P3.phase), await Scene.set(people)
    async with _asked_to_end_at(P3, victim, scene) as asking:
        platform.mongo.suspend()
        try:
            await check_ends(now, victim)
        finally:
            platform.mongo.resume()
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    now.check("told to come back", shown.events[-1].event == "reconnect")
    answer = await check_kept(now, scene, shown, platform)
    now.check("interrupted", answer["status"] == "interrupted")


@pytest.mark.deep
async def test_asked_to_end_sends_readers_of_others_streams_away(
    platform: Platform,
    people: People,
    victim: Victim,
    make_victim: MakeVictim,
    cell: Begin,
) -> None:
    now, scene = cell("SIGTERM chat", "P7 read elsewhere"), await Scene.set(people)
    leaving = make_victim(DRAIN_DEADLINE=PATIENT)
    P3.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
    following = scene.student.events("GET", scene.path, base_url=leaving.process.url)
    first = await anext(following)
    leaving.process.terminate()
    before = Shown([first, *(await collect(following)).events])
    now.check("told to come back", before.events[-1].json()["reason"] == "drain")
    await check_ends(now, leaving)
    victim.failpoints.release(P3.name)
    after = await collect(
        scene.student.events(
            "GET",
            scene.path,
            base_url=platform.chat.url,
            headers={"Last-Event-ID": before.numbered[-1].id},
        )
    )
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    both = Shown([*before.numbered, *after.numbered])
    now.check("whole over both", [e.id for e in both.events] == [e.id for e in shown.numbered])
    now.check("same text", both.text == shown.text)
    await check_kept(now, scene, shown, platform)
