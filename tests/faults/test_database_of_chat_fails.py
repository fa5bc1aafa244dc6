"""MongoDB dies or freezes at each phase of a stream."""

from collections.abc import Callable

import httpx
import pytest
from e2e_people import People, Shown
from fault_checks import Cell, Place, Scene, Victim, check_kept, check_unavailable, stream_of
from fault_places import P2, P3, P4, P5, Begin, paused
from fault_readers import asking, reading

from aula_devstack.platform import Platform

Strike = Callable[[Platform], None]
_KILLED: tuple[Strike, Strike] = (lambda on: on.mongo.kill(), lambda on: on.mongo.start())
_FROZEN: tuple[Strike, Strike] = (lambda on: on.mongo.suspend(), lambda on: on.mongo.resume())


@pytest.mark.deep
@pytest.mark.parametrize("place", [P2, P3, P4, P5], ids=str)
@pytest.mark.parametrize(
    ("fault", "strike"),
    [("kill -9 mongodb", _KILLED), ("mongodb frozen", _FROZEN)],
    ids=["killed", "frozen"],
)
async def test_database_of_chat_fails(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    fault: str,
    strike: tuple[Strike, Strike],
    place: Place,
) -> None:
    now, scene = cell(fault, place.phase), await Scene.set(people)
    go, come_back = strike
    place.arm(victim, "pause")
    async with reading(asking(scene, victim.process.url)) as student:
        async with paused(victim, place):
            await student.until(lambda shown: shown.numbers)
            stream_id = student.shown.last_id.rpartition(".")[0]
            go(platform)
        try:
            for url in (victim.process.url, platform.chat.url):
                check_unavailable(now, await scene.attempt_at(url))
            check_unavailable(now, await _look(scene))
            if place is not P5:  # where its end was stored before, and is charged for
                await _check_uncharged(now, scene, student.shown, stream_id)
        finally:
            come_back(platform)
        shown = await student.end(within=90)

    now.check("struck", victim.failpoints.struck(place.name))
    answer = await check_kept(now, scene, shown, platform)
    now.check("the same stream", stream_of(answer) == stream_id)


async def _look(scene: Scene) -> httpx.Response:
    path = f"/api/chat/sessions/{scene.session_id}"
    return await scene.student.client.get(path)


async def _check_uncharged(now: Cell, scene: Scene, shown: Shown, stream_id: str) -> None:
    """While nothing can be stored, nothing is charged and nothing is told as complete."""
    kinds = {entry["kind"] for entry in (await scene.reservation(stream_id))["entries"]}
    now.check("nothing charged", kinds == {"hold"})
    now.check("not told as complete", all(event.event != "complete" for event in shown.events))
