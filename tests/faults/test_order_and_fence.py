"""What only the order of steps, or only one of the fences, can save: the others are out of reach.

Elsewhere the log has caught up when a process dies, and three guards stand behind one another when
one wakes; here each stands alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from e2e_people import People, eventually
from fault_checks import Place, Scene, Victim, check_kept
from fault_places import P3, P4, Begin, MakeVictim
from fault_processes import runs_nothing
from fault_readers import asking, following, reading

from aula_devstack.platform import Platform
from aula_devstack.testing.tcp_proxy import TcpProxy, tcp_proxy

EARLY = Place(P3.phase, "chunk", 10)
# the provider is far ahead of the failpoints, so that nothing waits for it
QUICK = "Tell me a story. [[tokens=60]] [[pace=1]]"
# still being told when the sleeper wakes
LONG = "Tell me a long story. [[tokens=600]] [[pace=40]]"
# dearer by its usage, which the sleeper alone knows, than by an estimate of its text
DEAR = "Tell me a dear story. [[tokens=60]] [[pace=20]] [[usage=700:2000]]"


@pytest.mark.deep
async def test_killed_with_an_append_on_its_way(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("kill -9 chat, append held", P3.phase), await Scene.set(people, story=QUICK)
    with tcp_proxy(platform.redis.url) as proxy:
        # no checkpoint may know what the log does not
        victim = make_victim(
            REDIS_URL=proxy.through(platform.redis.url),
            CHECKPOINT_SECONDS="6",
            STREAM_LEASE_SECONDS="8",
        )
        EARLY.arm(victim, "pause")
        async with reading(asking(scene, victim.process.url)) as asker:
            await asyncio.to_thread(victim.failpoints.wait_struck, EARLY.name)
            await asker.until_chunks(1)
            proxy.freeze()
            P3.arm(victim, "exit-soon")
            victim.failpoints.release(P3.name)
            shown = await asker.end()
        now.check("struck", victim.failpoints.struck(P3.name) and asker.broken)
        # frozen to here: what was on its way never arrives
        answer = await check_kept(now, scene, shown, platform)
    now.check("something shown", shown.text != "")
    now.check("the append was lost", len(answer["content"].split()) < P3.times)
    now.check("interrupted", answer["status"] == "interrupted")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("place", "story"), [(P3, LONG), (P4, DEAR)], ids=["P3-amid-tokens", "P4-usage-in"]
)
async def test_wakes_without_redis_amid_its_own_recovery(
    platform: Platform,
    people: People,
    make_victim: MakeVictim,
    cell: Begin,
    place: Place,
    story: str,
) -> None:
    now = cell("asleep, wakes without Redis", place.phase)
    scene = await Scene.set(people, story=story)
    with tcp_proxy(platform.redis.url) as proxy:
        sleeper = make_victim(REDIS_URL=proxy.through(platform.redis.url))
        taker = make_victim(RECOVERY_SECONDS="0.5")
        place.arm(sleeper, "freeze")
        # amid its recovery the stream is still live, and its fence alone tells whose it is
        taker.failpoints.arm("stored", "freeze")
        async with reading(asking(scene, sleeper.process.url)) as asker:
            await asyncio.to_thread(sleeper.failpoints.wait_struck, place.name)
            async with suspended(platform):
                await asyncio.to_thread(taker.failpoints.wait_struck, "stored", within=60)
                proxy.refuse()
                proxy.reset()
                sleeper.process.resume()
                await eventually(lambda: runs_nothing(sleeper))
                shown = await asker.end()
            taker.process.resume()

        now.check("struck", sleeper.failpoints.struck(place.name))
        now.check("taken meanwhile", taker.failpoints.struck("stored"))
        answer = await check_kept(now, scene, shown, platform)
        now.check("interrupted", answer["status"] == "interrupted")
        now.check("sleeper tells no end", shown.numbered[-1].event == "chunk")


@pytest.mark.deep
async def test_wakes_without_mongodb(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("asleep, wakes without MongoDB", P3.phase), await Scene.set(people)
    with tcp_proxy(platform.mongo.url) as proxy:
        # else the driver asks the server for its address, and goes there past the proxy
        address = f"{proxy.through(platform.mongo.url)}?directConnection=true"
        sleeper = make_victim(MONGO_URI=address)
        P3.arm(sleeper, "freeze")
        async with reading(asking(scene, sleeper.process.url)) as asker:
            await asyncio.to_thread(sleeper.failpoints.wait_struck, P3.name)
            async with reading(following(scene, platform.chat.url)) as follower:
                followed = await follower.end()
            taken = await eventually(scene.answer)
            cut_off(proxy)
            sleeper.process.resume()
            await eventually(lambda: said(sleeper, "checkpoint not stored"))
            proxy.accept()
            shown = await asker.end()
        await eventually(lambda: runs_nothing(sleeper))

        now.check("struck", sleeper.failpoints.struck(P3.name))
        answer = await check_kept(now, scene, shown, platform)
        now.check("message as it was taken", answer == taken)
        now.check("whole elsewhere", followed.text == answer["content"])


def cut_off(proxy: TcpProxy) -> None:
    """End its connections, and let it make none."""
    proxy.refuse()
    proxy.reset()


@asynccontextmanager
async def suspended(platform: Platform) -> AsyncIterator[None]:
    """The gateway's chat sleeps inside the block."""
    platform.chat.suspend()
    try:
        yield
    finally:
        platform.chat.resume()


async def said(victim: Victim, what: str) -> bool:
    """Whether its log holds this."""
    return what in victim.process.log_file.read_text()
