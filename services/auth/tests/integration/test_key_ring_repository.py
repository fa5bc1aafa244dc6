"""Signing keys in the real database: sealed, agreed on, rotated once."""

import asyncio
from datetime import UTC, datetime, timedelta

import bson
import pytest

from aula_auth.domain.errors import KeyRingUnreadableError
from aula_auth.domain.keyring import KeyRing
from aula_auth.services.audit import Audit
from aula_auth.services.signing import KeyRingSigner
from aula_auth.storage.audit import AuditRepository
from aula_auth.storage.database import Database
from aula_auth.storage.keyring import KeyRingRepository
from aula_common.testing import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = b"a secret of 32 bytes or more ....."


def make_signer(database: Database, clock: ManualClock) -> KeyRingSigner:
    return KeyRingSigner(
        KeyRingRepository(database, secret=SECRET),
        audit=Audit(AuditRepository(database, keep=timedelta(days=365)), clock=clock),
        clock=clock,
        lifetime=timedelta(days=30),
        overlap=timedelta(minutes=25),
    )


async def test_ring_comes_back_as_stored(database: Database) -> None:
    rings = KeyRingRepository(database, secret=SECRET)
    assert await rings.load() is None
    ring = KeyRing.create(NOW).rotate(now=NOW, overlap=timedelta(minutes=1))
    assert await rings.create(ring)
    loaded = await rings.load()
    assert loaded is not None
    assert loaded.version == ring.version
    assert [(k.kid, k.state, k.expires_at) for k in loaded.keys] == [
        (k.kid, k.state, k.expires_at) for k in ring.keys
    ]
    assert loaded.current.private_key.sign(b"x") == ring.current.private_key.sign(b"x")


async def test_private_keys_are_not_in_the_database_in_the_clear(database: Database) -> None:
    ring = KeyRing.create(NOW)
    await KeyRingRepository(database, secret=SECRET).create(ring)
    stored = bson.encode(await database["key_rings"].find_one() or {})
    for key in ring.keys:
        assert key.kid.encode() in stored
        assert key.private_key.private_bytes_raw() not in stored


async def test_ring_does_not_open_with_another_secret(database: Database) -> None:
    await KeyRingRepository(database, secret=SECRET).create(KeyRing.create(NOW))
    with pytest.raises(KeyRingUnreadableError):
        await KeyRingRepository(database, secret=b"another").load()


async def test_sealed_key_moved_under_another_id_does_not_open(database: Database) -> None:
    rings = KeyRingRepository(database, secret=SECRET)
    await rings.create(KeyRing.create(NOW))
    await database["key_rings"].update_one({}, {"$set": {"keys.0.kid": "another"}})
    with pytest.raises(KeyRingUnreadableError):
        await rings.load()


async def test_processes_that_start_at_once_agree_on_one_key(database: Database) -> None:
    signers = [make_signer(database, ManualClock(NOW)) for _ in range(10)]
    await asyncio.gather(*(signer.refresh() for signer in signers))
    assert len({signer.ring.current.kid for signer in signers}) == 1
    assert await database["key_rings"].count_documents({}) == 1


async def test_of_rotations_at_once_one_happens(database: Database) -> None:
    signers = [make_signer(database, ManualClock(NOW)) for _ in range(5)]
    for signer in signers:
        await signer.refresh()
    won = await asyncio.gather(*(signer.rotate() for signer in signers))
    assert sorted(won) == [False] * 4 + [True]
    assert {signer.ring.version for signer in signers} == {2}
    assert await database["audit"].count_documents({"kind": "keys_rotated"}) == 1


async def test_key_is_rotated_by_itself_when_it_is_due(database: Database) -> None:
    clock = ManualClock(NOW)
    signer = make_signer(database, clock)
    await signer.refresh()
    first = signer.ring.current.kid
    clock.advance(timedelta(days=30).total_seconds())
    await signer.refresh()
    assert signer.ring.current.kid != first


async def test_process_that_lags_behind_two_rotations_still_knows_the_key(
    database: Database,
) -> None:
    lagging, ahead = (make_signer(database, ManualClock(NOW)) for _ in range(2))
    await lagging.refresh()
    await ahead.refresh()
    await ahead.rotate()
    await ahead.rotate()
    assert await lagging.find(ahead.ring.current.kid) is not None


async def test_unknown_keys_cause_one_read_in_a_while_and_not_a_storm(database: Database) -> None:
    clock = ManualClock(NOW)
    signer = make_signer(database, clock)
    await signer.refresh()
    reads = 0
    original = signer._rings.load

    async def counted() -> KeyRing | None:
        nonlocal reads
        reads += 1
        return await original()

    signer._rings.load = counted  # type: ignore[method-assign]  # counts what goes through
    for n in range(50):
        assert await signer.find(f"unknown-{n}") is None
    assert reads == 1
    clock.advance(10)
    assert await signer.find("unknown") is None
    assert reads == 2
