"""finalize, abort and the sweeper come at once to the reservations of real streams."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from e2e_people import People, eventually
from fault_checks import Cell, Scene, check_goes_on, stream_of
from fault_ledger import check_at_rest
from fault_places import P5, Begin, MakeVictim, replica
from fault_readers import asking, chunks, reading

from aula_devstack.platform import Platform
from aula_devstack.servers.service import Service

_ROUNDS, _AT_ONCE = 10, 5
_STORY = "Briefly. [[tokens=20]] [[pace=10]]"
# so that its sweeper comes while the streams end
_SHORT_LEASE = {
    "MAX_STREAMING_DURATION": "1.5",
    "LEASE_MARGIN_SECONDS": "0",
    "SWEEP_INTERVAL_SECONDS": "0.01",
}


class Streaming:
    """Accounting's streaming API, with chat's own right."""

    def __init__(self, client: httpx.AsyncClient, process: Service) -> None:
        self._client = client
        self._url = f"{process.url}/api/accounting/streaming"

    async def settle(self, kind: str, scene: Scene, stream_id: str) -> tuple[int, Any]:
        """The answer to a finalize or an abort."""
        body = {"sessionId": stream_id, "userId": scene.student.id}
        used = {"actualTokens": 600} if kind == "finalize" else {"tokensGenerated": 100}
        answer = await self._client.post(f"{self._url}/{kind}", json={**body, **used})
        return answer.status_code, answer.json()


async def _service_token(platform: Platform) -> str:
    known = platform.chat.environment
    form = {
        "grant_type": "client_credentials",
        "client_id": known["SERVICE_CLIENT_ID"],
        "client_secret": known["SERVICE_CLIENT_SECRET"],
        "audience": "accounting",
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{platform.auth.url}/api/auth/token", data=form)
    return str(answer.json()["access_token"])


@pytest.mark.deep
async def test_finalize_abort_and_sweep_at_once(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin
) -> None:
    now = cell("finalize, abort, sweep at once", f"{P5.phase}, {_ROUNDS * _AT_ONCE} times")
    token = await _service_token(platform)
    headers = {"Authorization": f"Bearer {token}"}
    statuses: list[str] = []
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        with replica(platform, "accounting", **_SHORT_LEASE) as accounting:
            victim = make_victim(ACCOUNTING_API_URL=accounting.url)
            streaming = Streaming(client, platform.accounting)
            for number in range(_ROUNDS):
                scenes = [await Scene.set(people, story=_STORY) for _ in range(_AT_ONCE)]
                # a little before the leases' end, at it, a little after it
                moment = timedelta(milliseconds=20 * (number % 3 - 1))
                # at once, or a few milliseconds before the others, so that none wins always
                ahead = 0.01 * (number % 4)
                met = await _meet(
                    scenes, victim.process, accounting, streaming, moment=moment, ahead=ahead
                )
                for scene, stream_id, told in met:
                    statuses.append(await _check_one(now, scene, stream_id, told, streaming))
            for scene in scenes:
                await check_goes_on(now, scene)
            await check_at_rest(now, scenes[0], platform)
    now.check("struck", len(statuses) == _ROUNDS * _AT_ONCE)
    now.check("none wins always", len(set(statuses)) > 1)


async def _meet(
    scenes: Sequence[Scene],
    chat: Service,
    accounting: Service,
    streaming: Streaming,
    *,
    moment: timedelta,
    ahead: float,
) -> list[tuple[Scene, str, Any]]:
    """Have all three come to each scene's reservation at a moment around its lease's end.

    The abort comes so many seconds ahead. What it was told.
    """
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(reading(asking(scene, chat.url))) for scene in scenes
        ]
        for reader in readers:
            await reader.until(lambda shown: chunks(shown) > 0)
        accounting.suspend()  # chat's finalize and the sweeper wait in it
        try:
            ids = [reader.shown.last_id.rpartition(".")[0] for reader in readers]
            reservations = [
                await scene.reservation(stream_id)
                for scene, stream_id in zip(scenes, ids, strict=True)
            ]
            leases = [datetime.fromisoformat(one["leaseExpiresAt"]) for one in reservations]
            due = min(leases) + moment

            async def come() -> bool:
                return datetime.now(UTC) >= due

            await eventually(come, every=0.002)
            aborting = asyncio.gather(
                *(
                    streaming.settle("abort", scene, stream_id)
                    for scene, stream_id in zip(scenes, ids, strict=True)
                )
            )
            await asyncio.sleep(ahead)
        finally:
            accounting.resume()
        told = await aborting
        for reader in readers:
            await reader.end()
    return list(zip(scenes, ids, told, strict=True))


async def _check_one(
    now: Cell, scene: Scene, stream_id: str, told: Any, streaming: Streaming
) -> str:
    """One winner, one terminal entry, the same answer to all; who won."""
    answer = await eventually(scene.answer)
    assert stream_of(answer) == stream_id
    settled = await scene.reservation(stream_id)
    now.check("abort told the truth", told == (200, settled["settlement"]))
    for kind in ("finalize", "abort"):
        again = await streaming.settle(kind, scene, stream_id)
        now.check(f"{kind} told the same", again == told)
    charged = settled["settlement"]["actualCredits"]
    now.check("finalize told the same charge", answer["metadata"]["credits"] == charged)
    entries = [entry for entry in settled["entries"] if entry["kind"] == "settle"]
    now.check("one terminal entry", [entry["amount"] for entry in entries] == [charged])
    balance = await scene.student.credits()
    left = (balance["available"], balance["held"])
    now.check("balance", left == (scene.available - charged, 0))
    return str(settled["status"])
