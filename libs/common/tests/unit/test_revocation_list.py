"""What auth withdrew is refused until no token it concerns can live."""

from datetime import timedelta
from typing import Any

import pytest

from aula_common.errors import UnavailableError
from aula_common.security.principal import Principal, Role
from aula_common.security.revocations import RevocationList
from aula_common.testing import ManualClock


class Feed:
    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.answers: list[Any] = []

    async def fetch(self, since: str | None) -> Any:
        self.asked.append(since)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def entry(kind: str, subject: str, clock: ManualClock, **changes: Any) -> dict[str, Any]:
    usual = {
        "kind": kind,
        "id": subject,
        "at": clock.now().isoformat(),
        "expiresAt": (clock.now() + timedelta(minutes=16)).isoformat(),
    }
    return {**usual, **changes}


def page(*entries: dict[str, Any], after: str = "c1") -> dict[str, Any]:
    return {"revocations": list(entries), "next": after}


def principal(clock: ManualClock, **values: Any) -> Principal:
    usual: dict[str, Any] = {
        "id": "usr_1",
        "role": Role.ENDUSER,
        "token_id": "tok_1",
        "session_id": "fam_1",
        "issued_at": clock.now() - timedelta(seconds=1),
        "expires_at": clock.now() + timedelta(minutes=15),
    }
    return Principal(**{**usual, **values})


@pytest.mark.parametrize(
    ("kind", "subject"), [("token", "tok_1"), ("family", "fam_1"), ("user", "usr_1")]
)
async def test_tokens_families_and_people_are_withdrawn(kind: str, subject: str) -> None:
    clock, feed = ManualClock(), Feed()
    revocations = RevocationList(feed.fetch, clock=clock)
    assert not revocations.revoked(principal(clock))
    feed.answers = [page(entry(kind, subject, clock))]
    await revocations.poll()
    assert revocations.revoked(principal(clock))
    other = principal(clock, id="usr_2", token_id="tok_2", session_id="fam_2")
    assert not revocations.revoked(other)


async def test_a_person_who_signs_in_again_is_let_in() -> None:
    clock, feed = ManualClock(), Feed()
    feed.answers = [page(entry("user", "usr_1", clock))]
    revocations = RevocationList(feed.fetch, clock=clock)
    await revocations.poll()
    later = clock.now() + timedelta(seconds=1)
    assert not revocations.revoked(principal(clock, issued_at=later))


async def test_an_older_entry_that_comes_again_does_not_reach_back() -> None:
    clock, feed = ManualClock(), Feed()
    earlier = (clock.now() - timedelta(minutes=1)).isoformat()
    feed.answers = [
        page(entry("user", "usr_1", clock)),
        page(entry("user", "usr_1", clock, at=earlier)),
    ]
    revocations = RevocationList(feed.fetch, clock=clock)
    await revocations.poll()
    await revocations.poll()
    assert revocations.revoked(principal(clock))


async def test_it_goes_on_from_the_last_cursor_and_forgets_what_has_expired() -> None:
    clock, feed = ManualClock(), Feed()
    feed.answers = [page(entry("family", "fam_1", clock)), UnavailableError("auth"), page()]
    revocations = RevocationList(feed.fetch, clock=clock)
    await revocations.poll()
    clock.advance(17 * 60)
    with pytest.raises(UnavailableError):
        await revocations.poll()
    assert revocations.revoked(principal(clock))
    await revocations.poll()
    assert feed.asked == [None, "c1", "c1"]
    assert not revocations.revoked(principal(clock))


async def test_a_malformed_answer_changes_nothing() -> None:
    clock, feed = ManualClock(), Feed()
    good, bad = entry("family", "fam_1", clock), entry("user", "usr_1", clock, at="2026-01-01")
    feed.answers = [page(good, bad, after="c2")]
    revocations = RevocationList(feed.fetch, clock=clock)
    with pytest.raises(ValueError, match="time zone"):
        await revocations.poll()
    assert not revocations.revoked(principal(clock))
