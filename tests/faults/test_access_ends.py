"""Tokens expire and relationships end while a stream is written, resumed and observed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from e2e_people import PASSWORD, TERMINAL, People, Person, Shown, sign_in
from fault_checks import Cell, Place, Scene, Victim, check_kept
from fault_places import Begin
from fault_readers import Reading, asking, check_whole, following, observing, reading
from fault_tokens import short_lived

from aula_devstack.platform import Platform

P3 = Place("P3 amid tokens", "chunk", 20)
P7 = "P7 followed"
LIFETIME = 6.0  # seconds; verifiers allow a few more for clocks that differ
CUT_SECONDS = 5  # the contract's


@asynccontextmanager
async def waiting_at(victim: Victim, scene: Scene) -> AsyncIterator[Reading]:
    """Who asked for the story at the victim, which waits amid it inside the block."""
    P3.arm(victim, "pause")
    async with reading(asking(scene, victim.process.url)) as asker:
        await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
        await asker.until_chunks(P3.times)
        yield asker


async def refused(person: Person, scene: Scene) -> bool:
    """Whether the person's token is no longer taken for following the stream."""
    async with person.client.stream("GET", scene.path) as answer:
        return answer.status_code == 401


@pytest.mark.deep
async def test_the_students_token_expires(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("the student's token expires", P3.phase), await Scene.set(people)
    student = scene.student
    passing = await short_lived(platform, student, seconds=LIFETIME)
    early = replace(scene, student=passing)
    async with aclosing(passing.client), waiting_at(victim, early) as asker:
        tab = following(early, platform.chat.url)
        async with reading(tab) as second:
            await second.until_chunks(P3.times)
            left = Shown(list(second.shown.events))
            await now.reach("struck: expired", lambda: refused(passing, scene))
            resume = {"Last-Event-ID": left.last_id}
            for base_url in (platform.url, platform.chat.url, victim.process.url):
                refusal = await passing.client.get(f"{base_url}{scene.path}", headers=resume)
                now.check("resume: 401", refusal.status_code == 401)
                now.check("without content", "event:" not in refusal.text)
            post = await passing.client.post(scene.path, json={"message": "Hi"})
            now.check("a new one: 401", post.status_code == 401)
            again = await sign_in(platform, student.name, PASSWORD)
            late = following(replace(scene, student=again), platform.url, after=left.last_id)
            async with aclosing(again.client), reading(late) as resumed:
                now.check("goes on", not asker.ended and not second.ended)
                victim.failpoints.release(P3.name)
                shown, followed, rest = [await one.end() for one in (asker, second, resumed)]

    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    check_whole(now, "asker", shown, answer)
    check_whole(now, "second tab", followed, answer)
    check_whole(now, "resumed with a new token", Shown([*left.events, *rest.events]), answer)


@pytest.mark.deep
async def test_the_supervisors_token_expires(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("the supervisor's token expires", P7), await Scene.set(people)
    supervisor = await people.supervisor()
    await people.relate(supervisor, scene.student)
    async with waiting_at(victim, scene) as asker:
        passing = await short_lived(platform, supervisor, seconds=LIFETIME)
        async with (
            aclosing(passing.client),
            reading(observing(scene, passing, follow=True)) as observer,
            reading(observing(scene, supervisor)) as other,
        ):
            await observer.until_chunks(P3.times)
            left = await observer.end(within=LIFETIME + 1 + CUT_SECONDS)
            check_ended(now, left, "token_expired")
            await now.reach("struck: expired", lambda: may_not_observe(passing, scene, 401))
            victim.failpoints.release(P3.name)
            shown, observed = await asker.end(), await other.end()

        now.check("no more text", left.text == left_text(shown))
        again = observing(scene, supervisor, after=left.numbered[-1].id)
        async with reading(again) as resumed:
            rest = await resumed.end()
    answer = await check_kept(now, scene, shown, platform)
    check_whole(now, "asker", shown, answer)
    check_whole(now, "another observer", observed, answer)
    check_whole(now, "with a new token", Shown([*left.numbered, *rest.events]), answer)


@pytest.mark.deep
async def test_a_relationship_ends(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("relationship ends", P7), await Scene.set(people)
    admin, supervisors = await people.admin(), [await people.supervisor() for _ in range(2)]
    relationships = [await people.relate(one, scene.student) for one in supervisors]
    async with (
        waiting_at(victim, scene) as asker,
        reading(observing(scene, supervisors[0], follow=True)) as observer,
        reading(observing(scene, supervisors[1])) as other,
    ):
        for one in (observer, other):
            await one.until_chunks(P3.times)
        path = f"/api/monitoring/relationships/{relationships[0]}"
        ended = await admin.client.delete(path)
        now.check("struck: ended", ended.status_code in {200, 204})
        left = await observer.end(within=CUT_SECONDS)
        check_ended(now, left, "relationship_ended")
        now.check("404", await may_not_observe(supervisors[0], scene, 404))
        victim.failpoints.release(P3.name)
        shown, observed = await asker.end(), await other.end()

    now.check("no more text", left.text == left_text(shown))
    answer = await check_kept(now, scene, shown, platform)
    check_whole(now, "student", shown, answer)
    check_whole(now, "another observer", observed, answer)


def check_ended(cell: Cell, shown: Shown, reason: str) -> None:
    """An observer was told, as the last of all, why it sees no more."""
    last = shown.events[-1]
    cell.check(f"ended: {reason}", (last.event, last.json()) == ("ended", {"reason": reason}))
    cell.check("not by the stream's end", not TERMINAL & {one.event for one in shown.events})


def left_text(whole: Shown) -> str:
    """What there was before the stream was released."""
    chunks = [event.json()["text"] for event in whole.events if event.event == "chunk"]
    return "".join(chunks[: P3.times])


async def may_not_observe(person: Person, scene: Scene, status: int) -> bool:
    """Whether that is the answer to the wish to observe."""
    path = f"/api/monitoring/students/{scene.student.id}/sessions/{scene.session_id}/observe"
    async with person.client.stream("GET", path) as answer:
        return answer.status_code == status
