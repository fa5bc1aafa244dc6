"""auth dies amid streams: who is known goes on, who is not is refused, and nobody storms it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import httpx
import pytest
from e2e_people import PASSWORD, People, Shown, sign_in
from fault_checks import Cell, Scene, Victim, check_kept, check_settled
from fault_places import P3, Begin, MakeVictim, paused
from fault_processes import requests_of
from fault_readers import asking, check_whole, following, observing, reading
from fault_tokens import under_unknown_key

from aula_devstack.platform import Platform
from aula_devstack.testing.tcp_proxy import Strike, tcp_proxy

SHORT = "Hi. [[tokens=3]]"
STRANGERS = 40
PAUSE_SECONDS = 10  # at most one fetch in so long for whatever unknown keys
ATTEMPTS = 6  # of a fetch that fails: three, and the HTTP client tries each twice
OTHERS = 4  # processes that may fetch at the same time by themselves
KEYS = "/api/auth/.well-known/jwks.json"


@pytest.mark.deep
async def test_killed_amid_streams(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("kill -9 auth", P3.phase), await Scene.set(people)
    another, earlier = await Scene.set(people), await Scene.set(people, story=SHORT)
    # a process that has called accounting lately has a token for it
    assert (await earlier.ask_at(platform.url)).terminal["status"] == "complete"
    supervisor = await people.supervisor()
    await people.relate(supervisor, scene.student)
    P3.arm(victim, "pause")
    async with (
        reading(asking(scene, victim.process.url)) as asker,
        reading(observing(scene, supervisor, follow=True)) as observer,
        paused(victim, P3),
    ):
        for reader in (asker, observer):
            await reader.until_chunks(P3.times)
        left = Shown(list(asker.shown.events))
        platform.auth.kill()
        try:
            now.check("struck", await is_away(platform))
            for base_url in (victim.process.url, platform.chat.url):
                stranger = await refusal(scene, base_url)
                now.check("unknown key: 401", stranger == httpx.codes.UNAUTHORIZED)
            started = await another.ask_at(platform.url)
            now.check("a new stream", started.terminal["status"] == "complete")
            resume = following(scene, platform.url, after=left.last_id)
            late = observing(scene, supervisor, after=left.last_id)
            async with reading(resume) as resumed, reading(late) as again:
                victim.failpoints.release(P3.name)
                ends = [await one.end() for one in (asker, resumed, again)]
                await observer.until(lambda seen: seen.numbers == ends[0].numbers)
                now.check("still away", not platform.auth.running)
        finally:
            platform.auth.start()

    shown, rest, watched = ends
    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    check_whole(now, "asker", shown, answer)
    check_whole(now, "resumed meanwhile", Shown([*left.events, *rest.events]), answer)
    check_whole(now, "observed meanwhile", Shown([*left.events, *watched.numbered]), answer)
    check_whole(now, "observer", observer.shown, answer)
    settled = await now.reach("the new one settled", another.answer)
    await check_settled(now, another, settled)
    back = await sign_in(platform, scene.student.name, PASSWORD)
    await back.client.aclose()


@pytest.mark.deep
async def test_many_unknown_keys(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now, scene = cell("unknown keys, auth away", P3.phase), await Scene.set(people)
    with tcp_proxy(platform.auth.url) as proxy:
        victim = make_victim(AUTH_API_URL=proxy.through(platform.auth.url))
        P3.arm(victim, "pause")
        async with reading(asking(scene, victim.process.url)) as asker:
            async with paused(victim, P3):
                before, began = fetches(platform), time.monotonic()
                now.check("counted", before > 0)
                await check_strangers(now, scene, victim, lambda: fetches(platform) > before)
                rounds = 1 + (time.monotonic() - began) / PAUSE_SECONDS
                now.check("no storm", fetches(platform) - before <= rounds + OTHERS)

                proxy.arm(Strike.RESET, KEYS.encode(), once=False)
                began = time.monotonic()
                await check_strangers(now, scene, victim, lambda: proxy.strikes > 0)
                rounds = 1 + (time.monotonic() - began) / PAUSE_SECONDS
                now.check("no storm while it is away", proxy.strikes <= ATTEMPTS * rounds)
            shown = await asker.end()
    answer = await check_kept(now, scene, shown, platform)
    check_whole(now, "asker", shown, answer)


async def check_strangers(
    cell: Cell, scene: Scene, victim: Victim, fetched: Callable[[], bool]
) -> None:
    """Many with unknown keys, at once and in turn until keys are fetched, are refused."""
    url = victim.process.url
    statuses = set(await asyncio.gather(*(refusal(scene, url) for _ in range(STRANGERS))))

    async def struck() -> bool:
        statuses.add(await refusal(scene, url))
        return fetched()

    await cell.reach("struck: fetched", struck)
    statuses |= set(await asyncio.gather(*(refusal(scene, url) for _ in range(STRANGERS))))
    statuses |= {await refusal(scene, url) for _ in range(STRANGERS)}
    cell.check("401 to each", statuses == {httpx.codes.UNAUTHORIZED})
    known = await scene.student.client.get(f"{url}/api/chat/sessions/{scene.session_id}")
    cell.check("known keys verify", known.status_code == httpx.codes.OK)


async def refusal(scene: Scene, base_url: str) -> int:
    """The status of what a token of the student's under an unknown key gets."""
    stranger = under_unknown_key(scene.student)
    async with aclosing(stranger.client) as client:
        answer = await client.get(f"{base_url}{scene.path}")
    return answer.status_code


def fetches(platform: Platform) -> int:
    """How often auth has shown its keys."""
    return requests_of(platform.auth, KEYS)


async def is_away(platform: Platform) -> bool:
    """Whether nobody can sign in."""
    async with httpx.AsyncClient() as client:
        try:
            await client.get(f"{platform.auth.url}{KEYS}")
        except httpx.ConnectError:
            return True
    return False
