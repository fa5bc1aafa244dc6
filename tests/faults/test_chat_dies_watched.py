"""A chat process is killed, or sleeps past its lease, while others read what it writes."""

import asyncio

import pytest
from e2e_people import People, Shown, eventually
from fault_checks import Place, Scene, Victim, check_kept
from fault_places import Begin
from fault_processes import runs_nothing
from fault_readers import asking, check_whole, following, observing, reading

from aula_devstack.platform import Platform

P7 = "P7 followed"
EARLY = Place(P7, "chunk", 10)
LATE = Place(P7, "chunk", 25)
LONG = "Tell me a long story. [[tokens=150]] [[pace=20]]"


@pytest.mark.deep
async def test_killed_while_followed_and_observed(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("kill -9 chat", P7), await Scene.set(people)
    supervisor = await people.supervisor()
    await people.relate(supervisor, scene.student)
    EARLY.arm(victim, "pause")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, EARLY.name)
        async with (
            reading(following(scene, platform.chat.url)) as follower,
            reading(observing(scene, supervisor)) as observer,
        ):
            await follower.until_chunks(5)
            await observer.until_chunks(5)
            LATE.arm(victim, "exit")
            victim.failpoints.release(LATE.name)
            shown = await asker.end()
            now.check("struck", victim.failpoints.struck(LATE.name) and asker.broken)
            followed, observed = await follower.end(), await observer.end()

    answer = await check_kept(now, scene, shown, platform)
    now.check("interrupted", answer["status"] == "interrupted")
    check_whole(now, "follower", followed, answer)
    check_whole(now, "observer", observed, answer)


@pytest.mark.deep
async def test_killed_while_it_only_serves_a_resume(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("kill -9 the resume's chat", P7), await Scene.set(people, story=LONG)
    async with reading(asking(scene, platform.url)) as asker:
        await asker.until_chunks(5)
        left = Shown(list(asker.shown.events))
        again = following(scene, victim.process.url, after=left.last_id)
        async with reading(again) as resumed:
            await resumed.until_chunks(10)
            victim.process.kill()
            second = await resumed.end()
            now.check("struck", resumed.broken and not asker.ended)
        async with reading(following(scene, platform.url, after=second.last_id)) as third:
            rest = await third.end()
        shown = await asker.end()

    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    check_whole(now, "owner's", shown, answer)
    pieces = [*left.events, *second.events, *rest.events]
    check_whole(now, "resumed twice", Shown(pieces), answer)


@pytest.mark.deep
async def test_asleep_with_a_reader_and_one_elsewhere(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("SIGSTOP chat past its lease", P7), await Scene.set(people)
    EARLY.arm(victim, "pause")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, EARLY.name)
        async with reading(following(scene, platform.chat.url)) as follower:
            await follower.until_chunks(5)
            LATE.arm(victim, "freeze")
            victim.failpoints.release(LATE.name)
            followed = await follower.end()
        taken = await eventually(scene.answer)
        now.check("struck", victim.failpoints.struck(LATE.name) and not asker.ended)
        victim.process.resume()
        shown = await asker.end()

    await eventually(lambda: runs_nothing(victim))
    answer = await check_kept(now, scene, shown, platform)
    now.check("message as it was taken", answer == taken)
    now.check("sleeper tells no end", shown.numbered[-1].event == "chunk")
    now.check("sleeper sends its reader away", shown.events[-1].event == "reconnect")
    check_whole(now, "elsewhere", followed, answer)
