"""The revocation feed: what it reaches back to, and how its cursor moves."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from aula_auth.services.revocations import OVERLAP, Revocations
from aula_common.testing import ManualClock

KEEP = timedelta(minutes=16)


class StoreWithOneOfEach:
    """A user and a family withdrawn at a moment; remembers what it was asked for."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.asked: list[datetime] = []

    async def users_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        self.asked.append(at)
        return [("usr_a", self.at)] if self.at >= at else []

    async def families_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        return [("fam_a", self.at)] if self.at >= at else []

    async def is_withdrawn(self, **token: object) -> bool:
        return not token


def feed_of(at: datetime, clock: ManualClock) -> tuple[Revocations, StoreWithOneOfEach]:
    store = StoreWithOneOfEach(at)
    return Revocations(store, keep=KEEP, clock=clock), store


async def test_first_question_reaches_back_as_far_as_a_token_could_live() -> None:
    clock = ManualClock()
    revocations, store = feed_of(clock.now() - KEEP, clock)
    feed = await revocations.feed(None)
    assert store.asked == [clock.now() - KEEP]
    assert [(entry.kind, entry.id) for entry in feed.revocations] == [
        ("user", "usr_a"),
        ("family", "fam_a"),
    ]
    assert feed.revocations[0].expires_at == store.at + KEEP


async def test_entry_that_became_visible_after_the_answer_is_in_the_next() -> None:
    clock = ManualClock()
    revocations, store = feed_of(clock.now(), clock)
    cursor = (await revocations.feed(None)).next
    store.at = clock.now() - timedelta(seconds=1)  # its write was slow
    clock.advance(20)
    assert (await revocations.feed(cursor)).revocations


async def test_cursor_lies_an_overlap_behind_and_moves_on() -> None:
    clock = ManualClock()
    revocations, _ = feed_of(clock.now(), clock)
    first = (await revocations.feed(None)).next
    assert first == clock.now() - OVERLAP
    clock.advance(20)
    assert (await revocations.feed(first)).next == first + timedelta(seconds=20)


async def test_cursor_from_the_future_hides_nothing_recent() -> None:
    clock = ManualClock()
    revocations, _ = feed_of(clock.now(), clock)
    assert (await revocations.feed(clock.now() + timedelta(days=1))).revocations


async def test_cursor_from_long_ago_asks_for_no_more_than_still_matters() -> None:
    clock = ManualClock()
    revocations, store = feed_of(clock.now(), clock)
    await revocations.feed(clock.now() - timedelta(days=365))
    assert store.asked == [clock.now() - KEEP]
