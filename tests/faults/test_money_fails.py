"""Accounting dies, its database fails, or what the two say to one another is lost."""

import asyncio

import pytest
from e2e_people import People
from fault_checks import (
    Place,
    Scene,
    Victim,
    check_kept,
    check_nothing_happened,
    check_unavailable,
)
from fault_ledger import check_at_rest, open_ledger
from fault_places import P1, P3, P4, P5, P6, Begin, MakeVictim, paused, replica

from aula_devstack.platform import Platform
from aula_devstack.testing.tcp_proxy import Strike, tcp_proxy

_FROZEN_SECONDS = 30

pytestmark = pytest.mark.deep


@pytest.mark.parametrize(
    ("server", "place"),
    [
        *(("accounting", place) for place in (P1, P3, P4, P5, P6)),
        *(("postgres", place) for place in (P1, P3, P4, P5)),
    ],
    ids=str,
)
async def test_money_is_away(
    platform: Platform, people: People, victim: Victim, cell: Begin, server: str, place: Place
) -> None:
    now, scene = cell(f"kill -9 {server}", place.phase), await Scene.set(people)
    process = platform.process(server)
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    async with paused(victim, place):
        process.kill()
        if place is P6:  # the answer that the victim has is never heard: it is waited for too long
            await asyncio.wait({asking}, timeout=60)
    shown = await asyncio.wait_for(asking, 60)
    process.start()

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("ran to its end", shown.terminal["status"] == "complete")
    now.check("told as pending", shown.terminal["settlement"] == "pending")
    await check_kept(now, scene, shown, platform)
    await check_at_rest(now, scene, platform)


@pytest.mark.parametrize("server", ["accounting", "postgres"])
async def test_money_is_away_before_a_reserve(
    platform: Platform, people: People, victim: Victim, cell: Begin, server: str
) -> None:
    now = cell(f"kill -9 {server}", "P1 before it")
    running, scene = await Scene.set(people), await Scene.set(people)
    process = platform.process(server)
    P3.arm(victim, "pause")
    asking = asyncio.create_task(running.ask_at(victim.process.url))
    async with paused(victim, P3):
        process.kill()
        for url in (victim.process.url, platform.chat.url):
            check_unavailable(now, await scene.attempt_at(url))
    shown = await asyncio.wait_for(asking, 60)
    process.start()

    now.check("struck", victim.failpoints.struck(P3.name))
    now.check("running one finishes", shown.terminal["status"] == "complete")
    await check_kept(now, running, shown, platform)
    await check_nothing_happened(now, scene)
    await check_at_rest(now, scene, platform)


@pytest.mark.parametrize("place", [P1, P5], ids=str)
async def test_database_of_money_is_frozen(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now = cell(f"postgres frozen {_FROZEN_SECONDS} s", place.phase)
    running, scene = await Scene.set(people), await Scene.set(people)
    accounting = platform.accounting.pid
    place.arm(victim, "pause")
    asking = asyncio.create_task(running.ask_at(victim.process.url))
    try:
        async with paused(victim, place):
            platform.postgres.suspend()
        thaws_at = asyncio.get_running_loop().time() + _FROZEN_SECONDS
        while asyncio.get_running_loop().time() < thaws_at:
            check_unavailable(now, await scene.attempt_at(platform.chat.url))
        shown = await asyncio.wait_for(asking, 60)
    finally:
        platform.postgres.resume()

    now.check("struck", victim.failpoints.struck(place.name))
    now.check("ran to its end", shown.terminal["status"] == "complete")
    now.check("told as pending", shown.terminal["settlement"] == "pending")
    await check_kept(now, running, shown, platform)
    await check_nothing_happened(now, scene)
    await check_at_rest(now, scene, platform)
    now.check("no restart", platform.accounting.running and platform.accounting.pid == accounting)


@pytest.mark.parametrize("place", [P1, P5], ids=str)
async def test_backends_are_terminated_amid_the_transaction(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now, scene = cell("postgres backends terminated", place.phase), await Scene.set(people)
    async with open_ledger(platform) as ledger:
        if place is P5:
            place.arm(victim, "pause")
            asking = asyncio.create_task(scene.ask_at(victim.process.url))
            await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
        async with ledger.locked(scene.student.id):
            if place is P5:
                victim.failpoints.release(place.name)
            else:
                asking = asyncio.create_task(scene.ask_at(victim.process.url))
            await ledger.wait_for_lock()
            now.check("struck", await ledger.terminate_backends() > 0)
    shown = await asyncio.wait_for(asking, 60)

    now.check("ran to its end", shown.terminal["status"] == "complete")
    now.check("settled by itself", shown.terminal["settlement"] == "settled")
    await check_kept(now, scene, shown, platform)
    await check_at_rest(now, scene, platform)


@pytest.mark.parametrize("place", [P1, P5], ids=str)
async def test_acknowledgement_of_the_commit_is_lost(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin, place: Place
) -> None:
    now, scene = cell("postgres commit unacknowledged", place.phase), await Scene.set(people)
    database = platform.accounting.environment["DATABASE_URL"]
    with (
        tcp_proxy(database) as proxy,
        replica(platform, "accounting", DATABASE_URL=proxy.through(database)) as accounting,
    ):
        victim = make_victim(ACCOUNTING_API_URL=accounting.url)
        statement = (
            scene.student.id.encode()
        )  # a transaction of its own: its answer is the commit's
        if place is P1:
            proxy.arm(Strike.SWALLOW, statement)
            asking = asyncio.create_task(scene.ask_at(victim.process.url))
        else:
            place.arm(victim, "pause")
            asking = asyncio.create_task(scene.ask_at(victim.process.url))
            async with paused(victim, place):
                proxy.arm(Strike.SWALLOW, statement)
        await asyncio.to_thread(proxy.wait_struck)
        shown = await asyncio.wait_for(asking, 60)

        now.check("struck", proxy.strikes == 1)
        now.check("ran to its end", shown.terminal["status"] == "complete")
        now.check("settled by itself", shown.terminal["settlement"] == "settled")
        await check_kept(now, scene, shown, platform)
        await check_at_rest(now, scene, platform)
