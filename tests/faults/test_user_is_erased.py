"""A person is erased while their answer is written, read, observed, or waits for its recovery."""

import asyncio
from typing import Any

import httpx
import pytest
from e2e_people import TIMEOUT, People, Shown, eventually
from fault_checks import Cell, Place, Scene, Victim
from fault_places import P2, P3, P4, P5, Begin, MakeVictim
from fault_processes import runs_nothing
from fault_readers import asking, following, observing, reading
from fault_remains import check_books, check_deleted, streams_of
from fault_tokens import of_auth_itself

from aula_devstack.platform import Platform

# past the time that a cell lets its owner sleep: nobody takes the stream meanwhile
PATIENT = {"STREAM_LEASE_SECONDS": "60"}
LONG = "Tell me a long story. [[tokens=900]] [[pace=20]]"  # no machine is done before it is stopped


class Eraser:
    """Auth, as a chat process sees it."""

    def __init__(self, scene: Scene, url: str, token: str) -> None:
        self._url = f"{url}/internal/subjects/{scene.student.id}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self) -> dict[str, Any]:
        """What chat says to the wish."""
        receipt = await self._call("DELETE")
        assert (receipt["erasedAt"] is None) == (receipt["status"] == "erasing")
        return receipt

    async def is_done(self) -> bool:
        """Whether nothing is left."""
        return bool((await self.ask())["status"] == "erased")

    async def exported(self) -> list[Any]:
        """The sessions that chat would hand out."""
        return list((await self._call("GET"))["sessions"])

    async def _call(self, method: str) -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=TIMEOUT, headers=self._headers) as client:
            answer = await client.request(method, self._url)
        assert answer.status_code in {httpx.codes.OK, httpx.codes.ACCEPTED}, answer.text
        body: dict[str, Any] = answer.json()
        return body


async def eraser(scene: Scene, platform: Platform, *, asks: Victim | None = None) -> Eraser:
    """Who may erase the scene's student, at the gateway's chat or at another."""
    token = await of_auth_itself(platform, "subjects:read", "subjects:erase", audience="chat")
    return Eraser(scene, (asks.process if asks else platform.chat).url, token)


async def check_absent(cell: Cell, scene: Scene) -> None:
    """The student finds nothing, and begins nothing."""
    path = f"/api/chat/sessions/{scene.session_id}"
    for method, address in (("GET", path), ("GET", scene.path), ("PATCH", path), ("DELETE", path)):
        answer = await scene.student.client.request(method, address, json={})
        cell.check("absent at once", answer.status_code == httpx.codes.NOT_FOUND)
    refused = await scene.attempt_at(str(scene.student.client.base_url))
    cell.check("no new answer", refused.status_code == httpx.codes.NOT_FOUND)
    created = await scene.student.client.post("/api/chat/sessions", json={})
    cell.check("no new session", created.status_code == httpx.codes.UNAUTHORIZED)
    listed = await scene.student.call("GET", "/api/chat/sessions", 200)
    cell.check("none listed", listed["sessions"] == [])


async def check_erased(
    cell: Cell, scene: Scene, platform: Platform, streams: list[str], shown: Shown
) -> None:
    """Nothing of the person is left, the credits add up, and nothing new can begin."""
    await check_absent(cell, scene)
    await check_deleted(cell, scene, platform, streams, shown)
    await check_books(cell, scene, streams)


def check_ended(cell: Cell, shown: Shown, *statuses: str) -> None:
    """The answer ended well, as one of these, and was settled before anybody heard of it."""
    last = shown.terminal
    cell.check(" or ".join(statuses), last["status"] in statuses)
    cell.check("settled", last["settlement"] == "settled")


async def test_erased_while_it_streams(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("user erased", P3.phase), await Scene.set(people, story=LONG)
    wish = await eraser(scene, platform)
    async with reading(asking(scene, victim.process.url)) as asker:
        await asker.until_chunks(20)
        streams = streams_of(platform, scene.session_id)
        await now.reach("erased", wish.is_done)
        shown = await asker.end()
    check_ended(now, shown, "stopped")
    now.check("nothing to hand out", await wish.exported() == [])
    await check_erased(now, scene, platform, streams, shown)


@pytest.mark.deep
@pytest.mark.parametrize("place", [P2, P3, P4, P5], ids=str)
async def test_erased_while_it_is_followed_and_observed(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin, place: Place
) -> None:
    now, scene = cell("user erased, observed", place.phase), await Scene.set(people)
    supervisor, victim = await people.supervisor(), make_victim(**PATIENT)
    await people.relate(supervisor, scene.student)
    wish = await eraser(scene, platform)
    place.arm(victim, "freeze")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
        streams = streams_of(platform, scene.session_id)
        async with (
            reading(observing(scene, supervisor, follow=True)) as observer,
            reading(following(scene, platform.chat.url)) as follower,
        ):
            await observer.until(lambda shown: shown.events)
            await follower.until(lambda shown: shown.events)
            now.check("waits for its end", (await wish.ask())["status"] == "erasing")
            await check_absent(now, scene)
            victim.process.resume()
            now.check("struck", victim.failpoints.struck(place.name))
            shown, followed = await asker.end(), await follower.end()
            if place is not P5:  # there its settlement was waited for too long, and is pending
                # what the model had sent while its reader slept may be the whole answer
                check_ended(now, shown, "stopped", "complete")
            await now.reach("erased", wish.is_done)
            observed = await observer.end(within=15)
    now.check("follower: one terminal event", followed.terminal)
    last = observed.events[-1]
    now.check("observer: cut", (last.event, last.json()) == ("ended", {"reason": "gone"}))
    await check_erased(now, scene, platform, streams, shown)


@pytest.mark.deep
@pytest.mark.parametrize("place", [P2, P3, P4, P5], ids=str)
async def test_erased_while_it_waits_for_its_recovery(
    platform: Platform, people: People, victim: Victim, cell: Begin, place: Place
) -> None:
    now, scene = cell("user erased, its chat killed", place.phase), await Scene.set(people)
    wish = await eraser(scene, platform)
    place.arm(victim, "exit")
    shown = await scene.ask_at(victim.process.url)
    now.check("struck", victim.failpoints.struck(place.name))
    streams = streams_of(platform, scene.session_id)
    await now.reach("erased", wish.is_done)
    await check_erased(now, scene, platform, streams, shown)


@pytest.mark.deep
async def test_erased_while_its_owner_sleeps(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("user erased, its chat asleep", P3.phase), await Scene.set(people)
    wish = await eraser(scene, platform)
    P3.arm(victim, "freeze")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
        await eventually(scene.answer)  # the other process has ended it
        streams = streams_of(platform, scene.session_id)
        await now.reach("erased", wish.is_done)
        victim.process.resume()
        shown = await asker.end()
    now.check("struck", victim.failpoints.struck(P3.name))
    await now.reach("the sleeper gives up", lambda: runs_nothing(victim))
    await check_erased(now, scene, platform, streams, shown)


@pytest.mark.deep
async def test_the_eraser_dies_and_another_carries_on(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("eraser killed", P3.phase), await Scene.set(people)
    owner, asked = make_victim(**PATIENT), make_victim()
    P3.arm(owner, "freeze")
    dying = await eraser(scene, platform, asks=asked)
    async with reading(asking(scene, owner.process.url)) as asker:
        await asyncio.to_thread(owner.failpoints.wait_struck, P3.name)
        streams = streams_of(platform, scene.session_id)
        wish = asyncio.create_task(dying.ask(), name="erase")

        async def is_noted() -> bool:
            path = f"/api/chat/sessions/{scene.session_id}"
            answer = await scene.student.client.get(path)
            return answer.status_code == httpx.codes.NOT_FOUND

        await eventually(is_noted)
        asked.process.kill()
        await asyncio.gather(wish, return_exceptions=True)
        now.check("struck: no receipt", isinstance(wish.exception(), httpx.HTTPError))
        owner.process.resume()
        shown = await asker.end()
        check_ended(now, shown, "stopped", "complete")

        async def is_gone() -> bool:
            return not streams_of(platform, scene.session_id)

        await now.reach("gone without another wish", is_gone)
    await check_erased(now, scene, platform, streams, shown)
