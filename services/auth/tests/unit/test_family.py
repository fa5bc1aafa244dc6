"""Families: when they live, and who is graced."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aula_auth.domain.family import Device, Family, Lifetimes, Spent, next_expiry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FAMILY = Family(
    id="fam_a",
    user_id="usr_a",
    device=Device(user_agent=None, address=None),
    created_at=NOW,
    last_used_at=NOW,
    expires_at=NOW + 60 * SECOND,
    absolute_expires_at=NOW + 90 * SECOND,
    generation=2,
    digest=b"live",
    spent=Spent(digest=b"parent", at=NOW, sealed_child=b"sealed"),
)


def test_family_lives_until_its_expiry_or_its_end() -> None:
    assert FAMILY.is_live(NOW + 59 * SECOND)
    assert not FAMILY.is_live(NOW + 60 * SECOND)
    assert not replace(FAMILY, ended_at=NOW).is_live(NOW)


def test_immediate_parent_is_graced_for_ten_seconds() -> None:
    assert FAMILY.graced_child(b"parent", NOW + 10 * SECOND) == b"sealed"
    assert FAMILY.graced_child(b"parent", NOW + 11 * SECOND) is None


def test_nobody_else_is_graced() -> None:
    assert FAMILY.graced_child(b"grandparent", NOW) is None
    assert FAMILY.graced_child(b"live", NOW) is None
    assert replace(FAMILY, spent=None).graced_child(b"parent", NOW) is None


def test_use_prolongs_a_family_up_to_its_absolute_end() -> None:
    lifetimes = Lifetimes(idle=60 * SECOND, absolute=90 * SECOND)
    absolute = NOW + 90 * SECOND
    expiry = next_expiry(now=NOW + 20 * SECOND, absolute=absolute, lifetimes=lifetimes)
    assert expiry == NOW + 80 * SECOND
    expiry = next_expiry(now=NOW + 50 * SECOND, absolute=absolute, lifetimes=lifetimes)
    assert expiry == absolute
