"""A session is deleted while it streams, while it waits for its recovery, while others watch it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from e2e_people import TERMINAL, People, Shown, eventually
from fault_checks import (
    Cell,
    Place,
    Scene,
    Victim,
    check_goes_on,
    check_settled,
    check_shown,
)
from fault_places import P1, P2, P3, P4, P5, Begin, MakeVictim
from fault_processes import runs_nothing
from fault_readers import Reading, asking, observing, reading
from fault_remains import Remains, check_deleted, check_paid, streams_of

from aula_devstack.platform import Platform
from aula_devstack.testing.tcp_proxy import Strike, TcpProxy, tcp_proxy

# past the time that a cell lets its owner sleep: nobody takes the stream meanwhile
PATIENT = {"STREAM_LEASE_SECONDS": "60"}
STORING = b"$setOnInsert"  # as messages are stored, and nothing else is


async def delete(scene: Scene) -> httpx.Response:
    """The answer to the owner's wish to have the session deleted."""
    return await scene.student.client.delete(f"/api/chat/sessions/{scene.session_id}")


async def check_refused(cell: Cell, scene: Scene, platform: Platform) -> None:
    """409 to DELETE and PATCH, and nothing is another than before."""
    before = Remains.of(platform, scene.session_id, [])
    path = f"/api/chat/sessions/{scene.session_id}"
    answers = [await delete(scene), await scene.student.client.patch(path, json={"title": "Mine"})]
    [stream_id] = streams_of(platform, scene.session_id)
    cell.check("409", [answer.status_code for answer in answers] == [409, 409])
    bodies = [answer.json() for answer in answers]
    named = [(body["code"], body["streamingSessionId"]) for body in bodies]
    cell.check("says which stream", named == [("session_streams", stream_id)] * 2)
    after = Remains.of(platform, scene.session_id, [])
    cell.check("nothing changed", after.documents == before.documents)


@pytest.mark.deep
@pytest.mark.parametrize("place", [P2, P3, P4, P5], ids=str)
async def test_deleted_while_it_streams(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin, place: Place
) -> None:
    now, scene = cell("session deleted", place.phase), await Scene.set(people)
    supervisor, victim = await people.supervisor(), make_victim(**PATIENT)
    await people.relate(supervisor, scene.student)
    place.arm(victim, "freeze")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
        async with reading(observing(scene, supervisor, follow=True)) as observer:
            await observer.until(lambda shown: shown.events)
            await check_refused(now, scene, platform)
            stopped = await scene.student.client.post(f"{scene.path.removesuffix('stream')}stop")
            # what is stored only waits for its settlement, and can't be stopped any more
            now.check("stop", stopped.status_code == (409 if place is P5 else 200))
            victim.process.resume()
            shown = await asker.end()
            now.check("struck", victim.failpoints.struck(place.name))

            answer = await now.reach("settled in the end", scene.answer)
            check_shown(now, answer, shown)
            await check_settled(now, scene, answer)
            await observer.until(lambda shown: TERMINAL & {one.event for one in shown.events})
            streams = streams_of(platform, scene.session_id)
            now.check("deleted", (await delete(scene)).status_code == 200)
            observed = await observer.end(within=10)
    check_told(now, observed, answer["content"])
    await check_deleted(now, scene, platform, streams, shown)
    await check_paid(now, scene, streams)


def check_told(cell: Cell, observed: Shown, text: str) -> None:
    """The observer saw the whole answer, and then that there is nothing more to see."""
    cell.check("observer: whole", observed.text == text and observed.terminal)
    last = observed.events[-1]
    cell.check("observer: ended", (last.event, last.json()) == ("ended", {"reason": "gone"}))


@pytest.mark.deep
async def test_deleted_before_it_is_settled(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("session deleted, accounting away", "P5 stored"), await Scene.set(people)
    async with reading(asking(scene, victim.process.url)) as asker:
        await asker.until_chunks(5)
        platform.accounting.kill()
        try:
            shown = await asker.end()
            now.check("struck", shown.terminal["settlement"] == "pending")
            streams = streams_of(platform, scene.session_id)
            now.check("deleted", (await delete(scene)).status_code == 200)
            await check_deleted(now, scene, platform, streams, shown)
        finally:
            platform.accounting.start()
    await check_paid(now, scene, streams)
    await check_deleted(now, scene, platform, streams, shown)


@pytest.mark.deep
@pytest.mark.parametrize("place", [P2, P3, P4, P5], ids=str)
async def test_deleted_while_it_waits_for_its_recovery(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now, scene = cell("session deleted, its chat killed", place.phase), await Scene.set(people)
    place.arm(victim, "exit")
    shown = await scene.ask_at(victim.process.url)
    now.check("struck", victim.failpoints.struck(place.name))
    await check_refused(now, scene, platform)
    streams = streams_of(platform, scene.session_id)

    async def deleted() -> bool:
        answer = await delete(scene)
        assert answer.status_code in {200, 409}, answer.text
        return answer.status_code == httpx.codes.OK

    await now.reach("deleted once it is recovered", deleted)
    await check_deleted(now, scene, platform, streams, shown)
    await check_paid(now, scene, streams)


@pytest.mark.deep
async def test_deleted_while_its_owner_sleeps(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("session deleted, its chat asleep", P3.phase), await Scene.set(people)
    P3.arm(victim, "freeze")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
        await eventually(scene.answer)  # the other process has ended it
        streams = streams_of(platform, scene.session_id)
        now.check("deleted", (await delete(scene)).status_code == 200)
        victim.process.resume()
        shown = await asker.end()
    now.check("struck", victim.failpoints.struck(P3.name))
    await now.reach("the sleeper gives up", lambda: runs_nothing(victim))
    now.check("sent away", shown.events[-1].event == "reconnect")
    await check_deleted(now, scene, platform, streams, shown)
    await check_paid(now, scene, streams)


@dataclass
class Sleeper:
    """A chat process that sleeps while the messages that it stores are on their way."""

    process: Victim
    asker: Reading
    proxy: TcpProxy

    async def wake(self, cell: Cell, scene: Scene, platform: Platform) -> Shown:
        """Let the messages arrive, then the process go on; what its client was shown in the end."""

        def check_nothing_came() -> None:
            remains = Remains.of(platform, scene.session_id, [])
            cell.check("nothing comes back", remains.messages == 0)

        self.proxy.release()
        await asyncio.to_thread(self.proxy.wait_answered)  # it struck: the database has seen them
        check_nothing_came()
        self.process.process.resume()
        shown = await self.asker.end()
        await cell.reach("the sleeper gives up", lambda: runs_nothing(self.process))
        check_nothing_came()
        return shown


@asynccontextmanager
async def sleeping(
    platform: Platform, scene: Scene, make_victim: MakeVictim
) -> AsyncIterator[Sleeper]:
    """From when its answer is stored until another process ended it."""
    with tcp_proxy(platform.mongo.url) as proxy:
        sleeper = make_victim(MONGO_URI=through(proxy, platform))
        async with reading(asking(scene, sleeper.process.url)) as asker:
            await asker.until_chunks(5)
            proxy.arm(Strike.HOLD, STORING)
            await asyncio.to_thread(proxy.wait_struck)
            sleeper.process.suspend()
            await eventually(scene.answer)
            yield Sleeper(sleeper, asker, proxy)


def through(proxy: TcpProxy, platform: Platform) -> str:
    """The database's address by the proxy."""
    # else the driver asks the server for its address, and goes there past the proxy
    return f"{proxy.through(platform.mongo.url)}?directConnection=true"


@pytest.mark.deep
async def test_deleted_with_its_beginning_on_its_way(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("session deleted, a beginning held", P1.phase), await Scene.set(people)
    with tcp_proxy(platform.mongo.url) as proxy:
        sleeper = make_victim(MONGO_URI=through(proxy, platform))
        proxy.arm(Strike.HOLD, STORING)
        attempt = asyncio.create_task(scene.attempt_at(sleeper.process.url), name="ask")
        await asyncio.to_thread(proxy.wait_struck)
        sleeper.process.suspend()
        await now.reach("recovered", scene.idle)
        streams = streams_of(platform, scene.session_id)
        now.check("nothing was promised", await scene.student.messages(scene.session_id) == [])
        now.check("deleted", (await delete(scene)).status_code == 200)
        await check_deleted(now, scene, platform, streams, Shown())
        proxy.release()
        sleeper.process.resume()
        # 503 if the driver has lost patience meanwhile
        now.check("refused", (await attempt).status_code in {404, 503})
        await now.reach("the sleeper gives up", lambda: runs_nothing(sleeper))
    await check_deleted(now, scene, platform, streams, Shown())
    await check_paid(now, scene, streams)


@pytest.mark.deep
async def test_deleted_with_its_answer_on_its_way(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("session deleted, its messages held", P5.phase), await Scene.set(people)
    async with sleeping(platform, scene, make_victim) as sleeper:
        streams = streams_of(platform, scene.session_id)
        now.check("deleted", (await delete(scene)).status_code == 200)
        await check_deleted(now, scene, platform, streams, sleeper.asker.shown)
        shown = await sleeper.wake(now, scene, platform)
    await check_deleted(now, scene, platform, streams, shown)
    await check_paid(now, scene, streams)


@pytest.mark.deep
async def test_messages_are_deleted_with_copies_on_their_way(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("messages deleted, copies held", P5.phase), await Scene.set(people)
    async with sleeping(platform, scene, make_victim) as sleeper:
        for message in await scene.student.messages(scene.session_id):
            path = f"/api/chat/sessions/{scene.session_id}/messages/{message['id']}"
            await scene.student.call("DELETE", path, 204)
        now.check("deleted", await scene.student.messages(scene.session_id) == [])
        await sleeper.wake(now, scene, platform)
    await check_goes_on(now, scene)
    now.check("only the next", len(await scene.student.messages(scene.session_id)) == 2)
