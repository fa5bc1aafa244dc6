"""What renewals that are refused say: whether a stream was lost, is over, or is to stop."""

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
from aula_common.errors import UnavailableError
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
        return self.live.fenced, counted

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
    leases = Leases(repository, clock=clock, seconds=30, checkpoint_every=5, fences=fences)
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


async def test_of_many_that_are_renewed_together_each_hears_of_itself(
    owner: Owner, store: AsyncDatabase[dict[str, Any]]
) -> None:
    clock = SystemClock()
    lives = [owner.live]
    for number in range(3):
        one = stream(id=f"str_{number}", session_id=f"ses_{number}", phase=Phase.CLAIMED)
        assert await owner.repository.claim(one, lease_seconds=30) is None
        lives.append(LiveStream(one, clock=clock, lease_ends=clock.monotonic() - 1))
    fine, stopped, lost, unsettled = lives
    fine.answer.parts.append("Well then")
    await owner.repository.ask_stop(stopped.stream.session_id)
    await store["streams"].update_one({"_id": lost.stream.id}, {"$inc": {"fence": 1}})
    for live in lives:
        live.renewed_at -= 60
    unsettled.renewed_at = clock.monotonic()  # not due

    await owner.leases.look(lives)

    assert [live.lease_valid for live in lives] == [True, True, False, False]
    assert [live.stop_asked for live in lives] == [False, True, False, False]
    assert [live.fenced for live in lives] == [False, False, True, False]
    texts = {one["_id"]: one.get("checkpoint") async for one in store["streams"].find()}
    assert texts[fine.stream.id] == {"text": "Well then", "number": 0}
    assert texts[stopped.stream.id] is not None  # stopping takes a while
    assert texts[lost.stream.id] is None
    assert texts[unsettled.stream.id] is None


async def test_a_stream_without_its_log_is_renewed_at_each_look(owner: Owner) -> None:
    owner.live.view.degrade(degraded=True)
    await owner.leases.look([owner.live])
    assert owner.live.lease_valid


async def test_what_the_database_does_not_answer_for_is_no_longer_valid_than_before(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise UnavailableError("the database")

    owner.live.renewed_at -= 60
    monkeypatch.setattr(owner.repository, "renew_all", away)
    await owner.leases.look([owner.live])
    valid = [owner.live.lease_valid]
    monkeypatch.undo()
    await owner.leases.look([owner.live])  # it is asked for again with the next look
    valid.append(owner.live.lease_valid)
    assert valid == [False, True]
    assert owner.lost == (False, 0)
