"""A client takes nothing any more, or is slow: it alone notices."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from e2e_people import People, Shown, eventually
from fault_checks import Place, Scene, Victim, check_kept
from fault_places import Begin, MakeVictim
from fault_processes import metric, resident_bytes
from fault_readers import asking, check_whole, chunks, following, observing, reading
from raw_reader import raw_reader

from aula_devstack.platform import Platform

# some 250 KB, of which a narrow connection takes half without a reader
LONG = "Tell me a long story. [[tokens=1900]] [[pace=3]]"
EARLY = Place("P3 amid tokens", "chunk", 100)
LATE = Place("P3 amid tokens", "chunk", 1700)
STUCK = 100
# generous: they cost their process some 5 MB; they would cost it 30 if nothing bounded them
GROWTH_BYTES = 16 * 1024 * 1024


@pytest.mark.deep
async def test_readers_that_take_nothing(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("client stops reading", LATE.phase), await Scene.set(people, story=LONG)
    supervisor, victim = await people.supervisor(), make_victim(READER_SEND_SECONDS="2")
    await people.relate(supervisor, scene.student)
    url, largest = f"{victim.process.url}{scene.path}", 0
    EARLY.arm(victim, "pause")
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(reading(asking(scene, victim.process.url)))
        await asyncio.to_thread(victim.failpoints.wait_struck, EARLY.name)
        LATE.arm(victim, "pause")
        others = [
            await stack.enter_async_context(reading(stream))
            for stream in (
                following(scene, victim.process.url),
                following(scene, platform.chat.url),
                observing(scene, supervisor),
            )
        ]
        for other in others:
            await other.until_chunks(5)
        before = resident_bytes(victim)
        stuck = [
            await stack.enter_async_context(raw_reader(victim.process.url, narrow=True))
            for _ in range(STUCK)
        ]
        for client in stuck:
            await client.send(scene.student, "GET", url)

        async def all_read() -> bool:
            return await metric(victim, "readers", kind="own") == STUCK + 2

        async def all_cut() -> bool:
            nonlocal largest
            largest = max(largest, resident_bytes(victim) - before)
            return await metric(victim, "readers_cut_total", reason="stuck") == STUCK

        await now.reach("they read", all_read)
        victim.failpoints.release(EARLY.name)
        now.check("struck: all cut", await eventually(all_cut, within=120))
        now.check("memory flat", largest < GROWTH_BYTES)
        now.check("the answer goes on", not asker.ended)
        victim.failpoints.release(LATE.name)
        shown = await asker.end()
        whole = [await other.end() for other in others]

        now.check("cut off", not await stuck[0].read_rest())
        left = stuck[0].shown
        now.check("has but a part", 0 < len(left.numbers) < len(shown.numbers))
        again = following(scene, victim.process.url, after=left.last_id)
        rest = await (await stack.enter_async_context(reading(again))).end()

    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    for who, seen in zip(("second tab", "other replica", "observer"), whole, strict=True):
        check_whole(now, who, seen, answer)
    check_whole(now, "cut and resumed", Shown([*left.events, *rest.events]), answer)


@pytest.mark.deep
@pytest.mark.parametrize("here", [True, False], ids=["at-its-process", "at-another"])
async def test_a_reader_that_is_slow(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin, *, here: bool
) -> None:
    now = cell(f"client is slow, {'its' if here else 'another'} chat", LATE.phase)
    scene = await Scene.set(people, story=LONG)
    victim = make_victim(READER_BUFFER_BYTES="16384")
    serving: Victim = victim if here else make_victim(READER_BUFFER_BYTES="16384")
    EARLY.arm(victim, "pause")
    async with (
        reading(asking(scene, victim.process.url)) as asker,
        raw_reader(serving.process.url, narrow=True) as slow,
    ):
        await asyncio.to_thread(victim.failpoints.wait_struck, EARLY.name)
        await asker.until_chunks(EARLY.times - 1)
        LATE.arm(victim, "pause")
        await slow.send(scene.student, "GET", f"{serving.process.url}{scene.path}")
        # level with the stream, so that what follows is its own delay
        await slow.read_until(lambda shown: chunks(shown) >= EARLY.times - 1)
        victim.failpoints.release(EARLY.name)
        await asker.until_chunks(LATE.times - 1)
        now.check("ended in good order", await slow.read_rest())
        told = slow.shown.events[-1]
        now.check("struck: told", (told.event, told.json()["reason"]) == ("reconnect", "slow"))
        cut = await metric(serving, "readers_cut_total", reason="slow")
        now.check("counted", cut == 1)
        left = Shown(slow.shown.numbered)
        again = following(scene, serving.process.url, after=left.last_id)
        async with reading(again) as back:
            victim.failpoints.release(LATE.name)
            rest, shown = await back.end(), await asker.end()

    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    check_whole(now, "asker", shown, answer)
    check_whole(now, "told and resumed", Shown([*left.events, *rest.events]), answer)
    same = [(e.id, e.data) for e in [*left.events, *rest.events]]
    now.check("the same events", same == [(e.id, e.data) for e in shown.numbered])
