"""MongoDB dies amid a stream."""

import asyncio

import pytest
from e2e_people import People
from fault_checks import Place, Scene, Victim, check_kept
from fault_places import P3, P4, Begin, paused

from aula_devstack.platform import Platform


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
