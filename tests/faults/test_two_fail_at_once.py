"""Two of the processes that a stream needs are restarted at once, at its end."""

import pytest
from e2e_people import People
from fault_checks import Place, Scene, Victim, check_kept
from fault_ledger import check_at_rest
from fault_places import P4, P5, P6, Begin, paused
from fault_readers import asking, reading

from aula_devstack.platform import Platform
from aula_devstack.servers.process import wait_all_ready


@pytest.mark.deep
@pytest.mark.parametrize("place", [P4, P5, P6], ids=str)
@pytest.mark.parametrize(
    "names",
    [
        ("chat", "accounting"),
        ("chat", "mongo"),
        ("chat", "redis"),
        ("accounting", "redis"),
        ("mongo", "postgres"),
    ],
    ids="+".join,
)
async def test_two_restart_at_once(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    names: tuple[str, str],
    place: Place,
) -> None:
    now, scene = cell(f"{' and '.join(names)} restarted", place.phase), await Scene.set(people)
    processes = [victim.process if name == "chat" else platform.process(name) for name in names]
    place.arm(victim, "pause")
    async with reading(asking(scene, victim.process.url)) as student:
        async with paused(victim, place):
            for process in processes:
                process.kill()
        for process in processes:
            process.spawn()
        wait_all_ready(processes)
        shown = await student.end(within=90)

    now.check("struck", victim.failpoints.struck(place.name))
    await check_kept(now, scene, shown, platform)
    await check_at_rest(now, scene, platform)
