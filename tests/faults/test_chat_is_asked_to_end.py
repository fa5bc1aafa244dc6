"""A chat process is asked to end at a phase of a stream: it ends, hands over, loses nothing."""

import asyncio
from collections.abc import Callable

import pytest
from e2e_people import People
from fault_checks import Cell, Place, Scene, Victim, check_kept

from aula_devstack.platform import Platform

Begin = Callable[[str, str], Cell]
P3 = Place("P3 amid tokens", "chunk", 20)
LONG = pytest.mark.parametrize("victim_environment", [{"DRAIN_DEADLINE": "60"}], ids=["long"])


async def _ended(now: Cell, victim: Victim) -> None:
    now.check("ends", await asyncio.to_thread(victim.process.wait_ended, 30))
    now.check("status 0", victim.process.exit_status == 0)


@LONG
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(Place("P2 asked", "asked"), marks=pytest.mark.deep),
        P3,
        pytest.param(Place("P4 usage in", "answered"), marks=pytest.mark.deep),
        pytest.param(Place("P5 stored", "stored"), marks=pytest.mark.deep),
    ],
    ids=str,
)
async def test_a_stream_that_ends_in_time_is_not_cut(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now, scene = cell("SIGTERM chat", place.phase), await Scene.set(people)
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    victim.process.terminate()
    victim.failpoints.release(place.name)
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("no stream cut", shown.terminal["status"] == "complete")
    await _ended(now, victim)
    await check_kept(now, scene, shown, platform)


async def test_what_is_left_at_the_deadline_is_ended_before_the_process_is(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat, deadline", P3.phase), await Scene.set(people)
    P3.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
    victim.process.terminate()
    await _ended(now, victim)
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    now.check("told", shown.terminal["code"] == "STREAM_INTERRUPTED")
    now.check("settled before the end", await scene.answer())
    await check_kept(now, scene, shown, platform)


@pytest.mark.deep
async def test_what_can_not_be_stored_at_the_deadline_is_recovered_by_another(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("SIGTERM, mongodb frozen", P3.phase), await Scene.set(people)
    P3.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
    platform.mongo.suspend()
    try:
        victim.process.terminate()
        await _ended(now, victim)
    finally:
        platform.mongo.resume()
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(P3.name))
    await check_kept(now, scene, shown, platform)
