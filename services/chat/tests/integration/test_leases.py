"""What a renewal that is refused says: whether the stream was lost, or is over."""

from dataclasses import dataclass
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from shown_metrics import shown
from stream_builders import MOMENT, outcome, reservation, stream

from aula_chat.domain.streams import Phase, intent_of
from aula_chat.services.fences import Fences
from aula_chat.services.leases import Leases
from aula_chat.services.live_streams import LiveStream
from aula_chat.storage.streams import StreamRepository
from aula_common.clock import SystemClock
from aula_common.metrics import Metrics


@dataclass
class Owner:
    """A process that owns a stream."""

    repository: StreamRepository
    live: LiveStream
    leases: Leases
    metrics: Metrics

    @property
    def lost(self) -> tuple[bool, float]:
        """Whether the stream is lost here, and how often that was counted."""
        counted = shown(self.metrics, "fences_lost_total", where="renewal")
        return self.live.fenced.is_set(), counted

    async def end(self) -> None:
        ended = outcome()
        assert await self.repository.end(
            self.live.stream, outcome=ended, intent=intent_of(ended, reservation()),
            last_number=3, ended_at=MOMENT, lease_seconds=30,
        )  # fmt: skip


@pytest.fixture
async def owner(store: AsyncDatabase[dict[str, Any]]) -> Owner:
    repository = StreamRepository(store["streams"])
    one = stream(phase=Phase.CLAIMED)
    assert await repository.claim(one, lease_seconds=-1) is None
    clock, metrics = SystemClock(), Metrics()
    fences = Fences(metrics.counter("fences_lost", "Of a test.", ["where"]))
    leases = Leases(repository, clock=clock, seconds=30, fences=fences)
    live = LiveStream(one, clock=clock, lease_ends=clock.monotonic() - 1)
    return Owner(repository, live, leases, metrics)


async def test_a_stream_that_nobody_took_is_renewed(owner: Owner) -> None:
    await owner.leases.renew(owner.live)
    assert owner.live.lease_valid
    assert owner.lost == (False, 0)


async def test_a_stream_that_another_process_took_is_lost_and_counted_once(owner: Owner) -> None:
    taken = await owner.repository.take(owner.live.stream.id, owner="own_there", lease_seconds=30)
    assert taken is not None
    for _ in range(2):
        await owner.leases.renew(owner.live)
    assert owner.lost == (True, 1)


async def test_a_stream_that_another_process_took_and_ended_is_lost(owner: Owner) -> None:
    taken = await owner.repository.take(owner.live.stream.id, owner="own_there", lease_seconds=30)
    assert taken is not None
    other = Owner(
        owner.repository,
        LiveStream(taken, clock=SystemClock(), lease_ends=0),
        owner.leases,
        owner.metrics,
    )
    await other.end()
    assert await owner.repository.release(taken, settlement=None)
    await owner.leases.renew(owner.live)
    assert owner.lost == (True, 1)


async def test_a_stream_of_which_nothing_is_left_is_lost(owner: Owner) -> None:
    await owner.repository.discard(owner.live.stream)
    await owner.leases.renew(owner.live)
    assert owner.lost == (True, 1)


async def test_a_stream_that_we_have_freed_ourselves_is_not_lost(owner: Owner) -> None:
    # a renewal that was under way, or one while only the acknowledgement of the release is lost
    await owner.end()
    assert await owner.repository.release(owner.live.stream, settlement=None)
    await owner.leases.renew(owner.live)
    assert owner.lost == (False, 0)
