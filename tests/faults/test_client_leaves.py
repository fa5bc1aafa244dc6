"""A client is cut off: the answer goes on without it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e_people import People, Shown
from fault_checks import Place, Scene, Victim, check_kept
from fault_places import P2, P3, P4, Begin
from fault_processes import requests_of
from fault_provider import Attempts
from fault_readers import chunks, following, reading
from raw_reader import Leave, raw_reader

from aula_common.ids import new_id
from aula_devstack.platform import Platform
from aula_devstack.servers.gateway import Gateway
from aula_devstack.servers.ports import Ports
from aula_devstack.temporary import temporary_home
from aula_devstack.workspace import caddyfile


@contextmanager
def address_of(platform: Platform, victim: Victim, way: str) -> Iterator[str]:
    """Where the client finds the victim: itself, or a gateway of its own."""
    if way == "direct":
        yield victim.process.url
        return
    with temporary_home("aula-gateway-") as home:
        gateway = Gateway(
            port=Ports().any("gateway"),
            data=Path(home) / "data",
            log_file=Path(home) / "gateway.log",
            caddyfile=caddyfile(),
            upstreams={
                **platform.parts.addresses.service_variables(),
                "CHAT_API_URL": victim.process.url,
            },
        )
        gateway.start()
        try:
            yield gateway.url
        finally:
            gateway.stop()


@pytest.mark.deep
@pytest.mark.parametrize("leave", list(Leave), ids=str)
@pytest.mark.parametrize("way", ["direct", "gateway"])
@pytest.mark.parametrize("place", [P2, P3, P4], ids=str)
async def test_client_is_cut_off(
    platform: Platform,
    people: People,
    victim: Victim,
    cell: Begin,
    place: Place,
    way: str,
    leave: Leave,
) -> None:
    now, nonce = cell(f"client cut ({leave}, {way})", place.phase), new_id("cell")
    scene = await Scene.set(people, story=f"A story. [[tokens=60 pace=10 nonce={nonce}]]")
    place.arm(victim, "pause")
    with address_of(platform, victim, way) as base_url:
        async with raw_reader(base_url) as client:
            url = f"{base_url}{scene.path}"
            await client.send(scene.student, "POST", url, {"message": scene.story})
            await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
            shows = {"asked": 0, "chunk": 10, "answered": 60}[place.name]
            await client.read_until(
                lambda shown: shown.events and chunks(shown) >= shows,
            )
            client.leave(leave)
            before = client.shown
        await now.reach("struck", lambda: has_ended_a_request(victim))
    after = before.last_id
    async with reading(following(scene, platform.chat.url, after=after)) as elsewhere:
        victim.failpoints.release(place.name)
        rest = await elsewhere.end()

    whole = Shown([*before.events, *rest.events])
    answer = await check_kept(now, scene, whole, platform)
    now.check("complete", whole.terminal["status"] == answer["status"] == "complete")
    now.check("a resume is whole", whole.text == answer["content"])
    now.check("usage is the provider's", answer["metadata"]["usage"]["estimated"] is False)
    attempts = await Attempts.of(platform, nonce)
    now.check("nothing cancelled", attempts.outcomes == ["complete"])


async def has_ended_a_request(victim: Victim) -> bool:
    """Whether it has noticed that the stream's only client has gone."""
    return requests_of(victim.process, "/api/chat/sessions/{session_id}/stream") > 0
