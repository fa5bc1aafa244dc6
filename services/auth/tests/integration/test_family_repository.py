"""Families in the real database: one winner of each rotation."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aula_auth.domain.family import Device, EndReason, Family, Spent
from aula_auth.storage.database import Database
from aula_auth.storage.families import FamilyRepository
from aula_common.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_family(**overrides: object) -> Family:
    fields: dict[str, object] = {
        "id": new_id("fam"),
        "user_id": "usr_ada",
        "device": Device(user_agent="browser", address="192.0.2.1"),
        "created_at": NOW,
        "last_used_at": NOW,
        "expires_at": NOW + HOUR,
        "absolute_expires_at": NOW + 2 * HOUR,
        "generation": 1,
        "digest": b"first",
        **overrides,
    }
    return Family(**fields)  # type: ignore[arg-type]  # overrides are checked by what they test


@pytest.fixture
def families(database: Database) -> FamilyRepository:
    return FamilyRepository(database, keep=timedelta(minutes=16))


async def rotate(
    families: FamilyRepository, family: Family, *, digest: bytes, at: datetime = NOW
) -> Family | None:
    return await families.rotate(
        family.id,
        generation=family.generation + 1,
        digest=digest,
        spent=Spent(digest=family.digest, at=at, sealed_child=b"sealed " + digest),
        expires_at=at + HOUR,
    )


async def test_family_comes_back_as_stored(families: FamilyRepository) -> None:
    family = make_family()
    await families.add(family)
    assert await families.find(family.id) == family


async def test_of_rotations_at_once_one_wins(families: FamilyRepository) -> None:
    family = make_family()
    await families.add(family)
    results = await asyncio.gather(
        *(rotate(families, family, digest=b"child %d" % n) for n in range(20))
    )
    (winner,) = [result for result in results if result is not None]
    stored = await families.find(family.id)
    assert stored == winner
    assert stored is not None
    assert stored.spent is not None
    assert stored.spent.sealed_child == b"sealed " + stored.digest
    assert stored.generation == 2


async def test_ended_or_expired_family_is_not_rotated(families: FamilyRepository) -> None:
    ended, expired = make_family(), make_family(expires_at=NOW)
    for family in (ended, expired):
        await families.add(family)
    await families.end(ended.id, user_id="usr_ada", at=NOW, reason=EndReason.SIGNED_OUT)
    assert await rotate(families, ended, digest=b"x") is None
    assert await rotate(families, expired, digest=b"x") is None


async def test_end_is_the_users_own_and_happens_once(families: FamilyRepository) -> None:
    family = make_family()
    await families.add(family)
    reason = EndReason.SIGNED_OUT
    assert not await families.end(family.id, user_id="usr_bob", at=NOW, reason=reason)
    assert await families.end(family.id, user_id="usr_ada", at=NOW, reason=reason)
    assert not await families.end(family.id, user_id="usr_ada", at=NOW, reason=reason)
    stored = await families.find(family.id)
    assert stored is not None
    assert (stored.ended_at, stored.end_reason) == (NOW, reason)


async def test_end_all_leaves_other_users_and_the_one_that_is_spared(
    families: FamilyRepository,
) -> None:
    mine = [make_family() for _ in range(3)]
    other = make_family(user_id="usr_bob")
    for family in (*mine, other):
        await families.add(family)
    ended = await families.end_all(
        "usr_ada", at=NOW, reason=EndReason.PASSWORD_CHANGED, but=mine[0].id
    )
    assert ended == 2
    live = await families.list_live("usr_ada", now=NOW, since=None, offset=0, limit=10)
    assert [family.id for family in live.items] == [mine[0].id]
    assert (await families.list_live("usr_bob", now=NOW, since=None, offset=0, limit=10)).total == 1


async def test_live_list_leaves_out_the_expired_and_the_voided(families: FamilyRepository) -> None:
    old, new = make_family(), make_family(created_at=NOW + HOUR, expires_at=NOW + 3 * HOUR)
    for family in (old, new):
        await families.add(family)

    async def live(now: datetime, since: datetime | None) -> list[str]:
        found = await families.list_live("usr_ada", now=now, since=since, offset=0, limit=10)
        return [family.id for family in found.items]

    assert set(await live(NOW, None)) == {old.id, new.id}
    assert await live(NOW + HOUR, None) == [new.id]
    assert await live(NOW, NOW) == [new.id]
