"""A chat process is asked to end at a phase of a stream: what ends in time is not cut."""

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
