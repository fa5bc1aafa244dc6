"""Chat asked to end while a request, a waiting caller or a hanging database is in the way."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from e2e_people import People, Shown, collect
from fault_checks import STORY, Place, Scene, Victim, check_kept
from fault_places import P2, P3, P4, P5, Begin
from fault_processes import check_ends, not_ready

from aula_devstack.platform import Platform
from aula_devstack.sse_client import SseParser
from aula_devstack.testing.tcp_proxy import Strike, tcp_proxy

pytestmark = pytest.mark.deep

PATIENT = "60"  # seconds, far more than a stream needs
ENDLESS = "600"  # a lease that no test waits for
# longer than the seconds that a server gives its connections at the very end
LONG_STORY = "Tell me a story. [[tokens=80]] [[pace=100]]"


async def test_a_request_that_is_still_being_sent_gets_its_whole_stream(
    platform: Platform, people: People, make_victim: Callable[..., Victim], cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat", "P0 being sent"), await Scene.set(people)
    victim = make_victim(DRAIN_DEADLINE=PATIENT)
    body = json.dumps({"message": LONG_STORY}).encode()
    head = (
        f"POST {scene.path} HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\n"
        f"Authorization: {scene.student.client.headers['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", victim.process.port)
    async with asyncio.timeout(90):
        writer.write(head.encode())
        accepted = await reader.readuntil(b"\r\n\r\n")  # said when it begins to read the body
        now.check("accepted", accepted.startswith(b"HTTP/1.1 100 "))
        victim.process.terminate()
        await now.reach("not ready at once", lambda: not_ready(victim))
        writer.write(body)
        # a chunk of the transfer holds whole events, and no field has the name of its length
        shown = Shown(SseParser().feed(await reader.read()))
    writer.close()

    now.check("no stream cut", shown.terminal["status"] == "complete")
    await check_ends(now, victim)
    await check_kept(now, scene, shown, platform)


async def test_who_waits_for_a_whole_answer_gets_it(
    platform: Platform, people: People, make_victim: Callable[..., Victim], cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat, waiting POST", P3.phase), await Scene.set(people)
    victim = make_victim(DRAIN_DEADLINE=PATIENT)
    P3.arm(victim, "pause")
    url = f"{victim.process.url}/api/chat/sessions/{scene.session_id}/messages"
    asking = asyncio.create_task(scene.student.client.post(url, json={"message": STORY}))
    await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
    victim.process.terminate()
    await now.reach("not ready at once", lambda: not_ready(victim))
    victim.failpoints.release(P3.name)
    answer = await asyncio.wait_for(asking, 60)

    now.check("answered", answer.status_code == httpx.codes.OK)
    now.check("whole", answer.json()["message"]["status"] == "complete")
    await check_ends(now, victim)
    kept = await check_kept(now, scene, Shown(), platform)
    now.check("as stored", kept["content"] == answer.json()["message"]["content"])


async def test_a_second_sigterm_ends_it_before_its_deadline_and_another_recovers(
    platform: Platform, people: People, make_victim: Callable[..., Victim], cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat twice", P3.phase), await Scene.set(people)
    victim = make_victim(DRAIN_DEADLINE=PATIENT)
    P3.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
    victim.process.terminate()
    await now.reach("not ready at once", lambda: not_ready(victim))
    victim.process.terminate()
    await check_ends(now, victim)
    shown = await asyncio.wait_for(asking, 60)

    answer = await check_kept(now, scene, shown, platform)
    now.check("interrupted", answer["status"] == "interrupted")


@pytest.mark.parametrize(
    ("place", "event", "settlement"),
    [
        (P2, "error", "settled"),
        (P4, "error", "settled"),
        # its settlement hangs: any process settles it from the stored intent
        (P5, "complete", "pending"),
    ],
    ids=str,
)
async def test_at_the_deadline_a_stream_is_ended_settled_and_told(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    place: Place,
    event: str,
    settlement: str,
) -> None:
    now, scene = cell("SIGTERM chat, deadline", place.phase), await Scene.set(people)
    place.arm(victim, "pause")
    asking = asyncio.create_task(scene.ask_at(victim.process.url))
    await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
    victim.process.terminate()
    shown = await asyncio.wait_for(asking, 60)

    now.check("struck", victim.failpoints.struck(place.name))
    now.check(f"told {event}", shown.terminal["event"] == event)
    now.check(f"told {settlement}", shown.terminal["settlement"] == settlement)
    await check_ends(now, victim)
    await check_kept(now, scene, shown, platform)


async def test_a_stream_whose_end_hangs_is_given_up_and_nobody_waits_for_its_lease(
    platform: Platform, people: People, make_victim: Callable[..., Victim], cell: Begin
) -> None:
    now, scene = cell("SIGTERM chat, its end hangs", P3.phase), await Scene.set(people)
    with tcp_proxy(platform.mongo.url) as database:
        # directly: a replica set's own addresses would lead past the proxy
        uri = f"{database.through(platform.mongo.url)}?directConnection=true"
        victim = make_victim(MONGO_URI=uri, DRAIN_DEADLINE="6", STREAM_LEASE_SECONDS=ENDLESS)
        P3.arm(victim, "pause")
        asking = asyncio.create_task(scene.ask_at(victim.process.url))
        await asyncio.to_thread(victim.failpoints.wait_struck, P3.name)
        database.arm(Strike.HOLD, b"lastNumber")
        victim.process.terminate()
        await asyncio.to_thread(database.wait_struck)
        shown = await asyncio.wait_for(asking, 60)
        await check_ends(now, victim)
        now.check("struck", database.strikes == 1)
        now.check("told to come back", shown.events[-1].json()["reason"] == "drain")
        after = {"Last-Event-ID": shown.numbered[-1].id}
        following = scene.student.events(
            "GET", scene.path, base_url=platform.chat.url, headers=after
        )
        rest = await asyncio.wait_for(collect(following), 60)  # by far before the lease is over
        whole = Shown([*shown.numbered, *rest.numbered])
        now.check("told elsewhere how it ends", whole.terminal["settlement"] == "settled")
        answer = await check_kept(now, scene, whole, platform)
        now.check("interrupted", answer["status"] == "interrupted")
