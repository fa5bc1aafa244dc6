"""What a stream holds comes from an allocation that expires amid it."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e_people import People, Person, eventually
from fault_checks import Place, Scene, check_charged, check_goes_on, check_stored, stream_of
from fault_places import P1, P2, P3, P4, P5, Begin, MakeVictim
from fault_readers import asking, reading

from aula_devstack.platform import Platform

_LIVES = timedelta(seconds=6)
_EXPIRING = 5  # less than a stream holds, more than it costs


async def _give(people: People, student: Person, expires_at: datetime) -> str:
    """The id of an allocation that ends then."""
    admin = await people.admin()
    given = await admin.call(
        "POST",
        "/api/accounting/credits/allocate",
        201,
        json={
            "userId": student.id,
            "credits": _EXPIRING,
            "expiresAt": expires_at.isoformat(),
        },
        headers={"Idempotency-Key": secrets.token_hex(8)},
    )
    return str(given["allocations"][0]["allocationId"])


@pytest.mark.deep
@pytest.mark.parametrize("place", [P1, P2, P3, P4, P5], ids=str)
async def test_allocation_expires_amid_a_stream(
    platform: Platform, people: People, make_victim: MakeVictim, cell: Begin, place: Place
) -> None:
    now, scene = cell("allocation expires", place.phase), await Scene.set(people)
    # asleep until it has expired, and not taken for dead
    victim = make_victim(STREAM_LEASE_SECONDS="60")
    place.arm(victim, "freeze")
    expires_at = datetime.now(UTC) + _LIVES
    allocation_id = await _give(people, scene.student, expires_at)

    async def expired() -> bool:
        return datetime.now(UTC) > expires_at

    async with reading(asking(scene, victim.process.url)) as student:
        await asyncio.to_thread(victim.failpoints.wait_struck, place.name)
        now.check("struck in its life", datetime.now(UTC) < expires_at)
        held = (await scene.student.credits())["held"]
        await eventually(expired)
        balance = await scene.student.credits()
        now.check("held beyond it", balance["held"] == held > _EXPIRING)
        victim.process.resume()
        shown = await student.end()

    now.check("ran to its end", shown.terminal["status"] == "complete")
    answer = await check_stored(now, scene, shown, platform)
    charge = await check_charged(now, scene, answer)
    reservation = await scene.reservation(stream_of(answer))
    now.check("hold honoured", 0 < charge < _EXPIRING)
    lapsed = _amounts(reservation, "lapse", allocation_id)
    now.check("charged to it", _amounts(reservation, "charge", allocation_id) == [charge])
    now.check("refund lapsed, on record", lapsed == [_EXPIRING - charge])
    now.check("told as lapsed", reservation["settlement"]["lapsed"] == lapsed[0])
    now.check("none of it refunded", _amounts(reservation, "refund", allocation_id) == [])
    balance = await scene.student.credits()
    now.check("balance", (balance["available"], balance["held"]) == (scene.available, 0))
    await check_goes_on(now, scene)


def _amounts(reservation: dict[str, Any], kind: str, allocation_id: str) -> list[int]:
    entries = [one for one in reservation["entries"] if one["allocationId"] == allocation_id]
    return [entry["amount"] for entry in entries if entry["kind"] == kind]
