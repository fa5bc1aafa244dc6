"""A chat process is killed, or sleeps past its lease, at each phase of a stream."""

import asyncio

import pytest
from e2e_people import People, eventually
from fault_checks import Place, Scene, Victim, check_kept, check_nothing_happened
from fault_places import P2, P3, P4, P5, P6, Begin
from fault_processes import runs_nothing

from aula_devstack.platform import Platform


async def test_killed_when_reserved(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("kill -9 chat", "P1 reserved"), await Scene.set(people)
    victim.failpoints.arm("reserved", "exit")

    shown = await scene.ask_at(victim.process.url)

    now.check("struck", victim.failpoints.struck("reserved"))
    now.check("nothing shown", shown.events == [])
    await check_nothing_happened(now, scene)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        pytest.param(P2, "interrupted", marks=pytest.mark.deep),
        (P3, "interrupted"),
        pytest.param(P4, "interrupted", marks=pytest.mark.deep),
        (P5, "complete"),
        pytest.param(P6, "complete", marks=pytest.mark.deep),
    ],
    ids=str,
)
async def test_killed_later(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    place: Place,
    status: str,
) -> None:
    now, scene = cell("kill -9 chat", place.phase), await Scene.set(people)
    place.arm(victim, "exit")

    shown = await scene.ask_at(victim.process.url)

    now.check("struck", victim.failpoints.struck(place.name))
    answer = await check_kept(now, scene, shown, platform)
    now.check(status, answer["status"] == status)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(P2, marks=pytest.mark.deep),
        P3,
        pytest.param(P5, marks=pytest.mark.deep),
    ],
    ids=str,
)
async def test_asleep_past_its_lease(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    place: Place,
) -> None:
    now, scene = cell("SIGSTOP chat past its lease", place.phase), await Scene.set(people)
    place.arm(victim, "freeze")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    taken = await eventually(scene.answer)  # the other process has ended it
    ledger = await scene.student.call("GET", "/api/accounting/ledger", 200)

    victim.process.resume()

    await eventually(lambda: runs_nothing(victim))
    shown = await asyncio.wait_for(asking, 30)
    now.check("struck", victim.failpoints.struck(place.name))
    now.check("message as it was taken", await scene.answer() == taken)
    after = await scene.student.call("GET", "/api/accounting/ledger", 200)
    now.check("ledger as it was taken", after == ledger)
    await check_kept(now, scene, shown, platform)
