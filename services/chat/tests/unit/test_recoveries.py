"""Which streams a process takes over, and what it does without their log."""

from typing import Any

from memory_stream_log import MemoryStreamLog
from prometheus_client import Counter
from quick_clock import QuickClock
from stream_builders import chunk, stream

from aula_chat.domain.errors import FenceLostError
from aula_chat.domain.streams import Checkpoint, ExpiredLease, Outcome, Stream
from aula_chat.services.fences import Fences
from aula_chat.services.recoveries import Recoveries
from aula_common.errors import UnavailableError


class Orphanage:
    """Expired streams, and what was concluded of them."""

    def __init__(self, *expired: Stream, grace: float = 0) -> None:
        self.expired = {one.id: one for one in expired}
        self.outcomes: dict[str, Outcome] = {}
        self.taken: list[str] = []
        self.overtaken = False
        self.broken = ""
        self.withdrawn: list[str] = []
        self.clock = QuickClock()
        self.log = MemoryStreamLog()
        self.own: set[str] = set()
        self.given_up: set[str] = set()
        self.fences_lost = Counter("fences_lost", "Of a test.", ["where"], registry=None)
        self.recoveries = Recoveries(
            streams=self,  # type: ignore[arg-type]  # what it needs of a repository
            log=self.log,
            conclusions=self,  # type: ignore[arg-type]  # what it needs of conclusions
            clock=self.clock,
            owner="own_here",
            lease_seconds=30,
            log_patience=60,
            log_ttl_seconds=60,
            grace=grace,
            runs_here=self.own.__contains__,
            recovered=Counter("recovered", "Of a test.", registry=None),
            fences=Fences(self.fences_lost),
        )

    async def find_expired(self) -> list[ExpiredLease]:
        left = [stream_id for stream_id in self.expired if stream_id not in self.taken]
        return [ExpiredLease(one, given_up=one in self.given_up) for one in left]

    async def take(self, stream_id: str, **_: Any) -> Stream | None:
        self.taken.append(stream_id)
        return self.expired[stream_id]

    async def withdraw(self, one: Stream) -> None:
        self.withdrawn.append(one.id)

    async def conclude(self, one: Stream, outcome: Outcome, **_: Any) -> Stream:
        if one.id == self.broken:
            raise ValueError
        if self.overtaken:
            raise FenceLostError
        self.outcomes[one.id] = outcome
        return one


async def test_a_process_never_takes_what_it_is_writing_itself() -> None:
    # after the database was away for a lease's length every stream of every process has expired
    one = stream()
    orphans = Orphanage(one)
    orphans.own.add(one.id)
    await orphans.recoveries.sweep()
    assert orphans.taken == []
    orphans.own.clear()
    await orphans.recoveries.sweep()
    assert orphans.taken == [one.id]


async def test_an_owner_gets_time_to_renew_what_expired_while_nobody_could() -> None:
    one = stream()
    orphans = Orphanage(one, grace=5)
    await orphans.recoveries.sweep()
    orphans.clock.advance(4)
    await orphans.recoveries.sweep()
    assert orphans.taken == []
    renewed = orphans.expired.pop(one.id)
    orphans.clock.advance(1)
    await orphans.recoveries.sweep()
    assert orphans.taken == []

    orphans.expired[one.id] = renewed  # it died after all: the time begins anew
    await orphans.recoveries.sweep()
    assert orphans.taken == []
    orphans.clock.advance(5)
    await orphans.recoveries.sweep()
    assert orphans.taken == [one.id]


async def test_what_its_owner_gave_up_is_taken_without_that_time() -> None:
    one, other = stream(), stream()
    orphans = Orphanage(one, other, grace=5)
    orphans.given_up.add(one.id)
    await orphans.recoveries.sweep()
    assert orphans.taken == [one.id]


async def test_one_that_cannot_be_recovered_does_not_keep_back_the_others() -> None:
    one, other = stream(), stream()
    orphans = Orphanage(one, other)
    orphans.broken = one.id
    await orphans.recoveries.sweep()
    assert orphans.taken == [one.id, other.id]
    assert set(orphans.outcomes) == {other.id}


async def test_a_process_that_is_about_to_end_takes_nothing() -> None:
    one = stream()
    orphans = Orphanage(one)
    orphans.given_up.add(one.id)
    orphans.recoveries.stop()
    await orphans.recoveries.sweep()
    assert not await orphans.recoveries.recover(one.id)
    assert orphans.taken == []


async def test_a_recovery_that_is_overtaken_takes_back_its_own_and_is_counted() -> None:
    one = stream()
    orphans = Orphanage(one)
    orphans.overtaken = True
    assert not await orphans.recoveries.recover(one.id)
    assert orphans.withdrawn == [one.id]
    assert orphans.fences_lost.labels("recovery")._value.get() == 1


async def test_a_recovery_waits_for_the_log_and_then_goes_without() -> None:
    one = stream(checkpoint=Checkpoint(text="kept", number=4))
    orphans = Orphanage(one)
    orphans.log.away = True
    await orphans.recoveries.sweep()
    orphans.clock.advance(59)
    await orphans.recoveries.sweep()
    assert orphans.taken == []
    orphans.clock.advance(1)
    await orphans.recoveries.sweep()
    assert orphans.outcomes[one.id].text == "kept"


async def test_a_log_that_falters_once_is_asked_again() -> None:
    one = stream(checkpoint=Checkpoint(text="a", number=1))
    orphans = Orphanage(one)
    orphans.log.entries[one.id] = [(2, chunk(one.id, 1, "a") + chunk(one.id, 2, "b"))]
    whole = orphans.log.raise_fence

    async def fail(*_: Any, **__: Any) -> None:
        orphans.log.raise_fence = whole  # type: ignore[method-assign]  # broken once
        raise UnavailableError("redis")

    orphans.log.raise_fence = fail  # type: ignore[method-assign]  # broken once
    await orphans.recoveries.sweep()
    assert orphans.outcomes[one.id].text == "ab"


async def test_the_text_is_of_whichever_knows_more() -> None:
    ahead = stream(checkpoint=Checkpoint(text="abc", number=3))
    orphans = Orphanage(ahead)
    orphans.log.entries[ahead.id] = [(1, chunk(ahead.id, 1, "a"))]
    await orphans.recoveries.sweep()
    assert orphans.outcomes[ahead.id].text == "abc"
