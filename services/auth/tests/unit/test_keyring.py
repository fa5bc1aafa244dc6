"""The key ring: states, overlap, publication."""

from datetime import UTC, datetime, timedelta

from aula_auth.domain.keyring import KeyRing, KeyState
from aula_common.security.keys import parse_jwks

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAP = timedelta(minutes=25)


def test_first_ring_has_a_key_that_signs_and_one_that_will() -> None:
    ring = KeyRing.create(NOW)
    assert [key.state for key in ring.keys] == [KeyState.CURRENT, KeyState.NEXT]
    assert ring.current.activated_at == NOW


def test_rotation_promotes_the_key_that_was_published_before() -> None:
    ring = KeyRing.create(NOW)
    announced = ring.keys[1]
    later = NOW + timedelta(days=30)
    rotated = ring.rotate(now=later, overlap=OVERLAP)
    assert rotated.current.kid == announced.kid
    assert rotated.current.activated_at == later
    assert rotated.version == ring.version + 1
    assert [key.state for key in rotated.keys] == [
        KeyState.RETIRED,
        KeyState.CURRENT,
        KeyState.NEXT,
    ]


def test_retired_key_verifies_until_the_overlap_is_over() -> None:
    ring = KeyRing.create(NOW)
    rotated = ring.rotate(now=NOW, overlap=OVERLAP)
    last = NOW + OVERLAP - timedelta(milliseconds=1)
    assert ring.current.kid in {key.kid for key in rotated.verifying(last)}
    assert ring.current.kid not in {key.kid for key in rotated.verifying(NOW + OVERLAP)}


def test_expired_keys_leave_the_ring_with_the_next_rotation() -> None:
    ring = KeyRing.create(NOW).rotate(now=NOW, overlap=OVERLAP)
    rotated = ring.rotate(now=NOW + OVERLAP, overlap=OVERLAP)
    assert len(rotated.keys) == 3


def test_ring_is_due_when_its_current_key_has_signed_long_enough() -> None:
    ring = KeyRing.create(NOW)
    month = timedelta(days=30)
    assert not ring.is_due(now=NOW + month - timedelta(seconds=1), lifetime=month)
    assert ring.is_due(now=NOW + month, lifetime=month)


def test_published_keys_are_public_and_understood_by_verifiers() -> None:
    ring = KeyRing.create(NOW)
    document = ring.jwks(NOW)
    assert set(parse_jwks(document)) == {key.kid for key in ring.keys}
    assert all("d" not in entry and entry["alg"] == "EdDSA" for entry in document["keys"])
