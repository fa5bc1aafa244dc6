"""The stream documents on a real server: claims, leases, fences, ends."""

from asyncio import gather
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT, outcome, reservation, stream

from aula_chat.domain.streams import (
    Checkpoint,
    ExpiredLease,
    Outcome,
    Phase,
    Settlement,
    Stream,
    Unsettled,
    intent_of,
)
from aula_chat.domain.turns import Beginning
from aula_chat.services.conclusions import question_message
from aula_chat.storage.streams import StreamRepository
from aula_chat.storage.turns import TurnRepository
from aula_common.errors import UnavailableError

SETTLED = Settlement(credits=3, status="completed")


@pytest.fixture
def streams(store: AsyncDatabase[dict[str, Any]]) -> StreamRepository:
    """The repository."""
    return StreamRepository(store["streams"])


def claim(**changes: Any) -> Stream:
    return stream(phase=Phase.CLAIMED, **changes)


async def claimed(streams: StreamRepository, lease: float = 30, **changes: Any) -> Stream:
    new = claim(**changes)
    assert await streams.claim(new, lease_seconds=lease) is None
    return new


async def begin(streams: StreamRepository, one: Stream) -> bool:
    database = streams._streams.database
    sessions: AsyncCollection[dict[str, Any]] = database["sessions"]
    await sessions.update_one(
        {"_id": one.session_id}, {"$set": {"userId": one.user_id}}, upsert=True
    )
    turns, question = TurnRepository(database), question_message(one)
    begun = await turns.begin(one, question, after=None, lease_seconds=30)
    return begun is Beginning.BEGUN


async def end(
    streams: StreamRepository, one: Stream, result: Outcome | None = None, **changes: Any
) -> bool:
    fields = {
        "outcome": result, "intent": intent_of(result or outcome(), reservation()),
        "last_number": 9, "ended_at": MOMENT, "lease_seconds": 30, **changes,
    }  # fmt: skip
    return await streams.end(one, **fields)


async def test_a_claim_that_others_come_before_each_time_is_to_be_asked_for_again(
    streams: StreamRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claimed(streams, session_id="ses_one")

    async def gone(_: Stream) -> None:
        """As if it had been freed meanwhile."""

    monkeypatch.setattr(streams, "_in_the_way", gone)
    with pytest.raises(UnavailableError):
        await streams.claim(claim(session_id="ses_one"), lease_seconds=30)


async def test_of_fifty_claims_at_once_one_wins(streams: StreamRepository) -> None:
    claims = [claim(session_id="ses_one") for _ in range(50)]
    answers = await gather(*(streams.claim(one, lease_seconds=30) for one in claims))
    assert answers.count(None) == 1
    winner = claims[answers.index(None)]
    assert {answer.id for answer in answers if answer} == {winner.id}


async def test_a_claim_is_read_back_as_it_was_made(streams: StreamRepository) -> None:
    one = await claimed(streams, idempotency_key="key", body_digest="digest")
    assert await streams.find(one.id) == one
    assert await streams.find_live(one.session_id) == one
    assert await streams.find("str_absent") is None


@pytest.mark.parametrize(
    "text", ["$where", "$$NOW", "$question.text", "a.b.c", "{'$gt': ''}", "\u2028\r\n", "${x}", ""]
)
async def test_text_of_any_kind_is_stored_as_it_is(streams: StreamRepository, text: str) -> None:
    one = await claimed(streams, question=text, owner=text or "o", body_digest=text)
    checkpoint = Checkpoint(text=text, number=3)
    await begin(streams, one)
    await streams.renew(one.id, 1, lease_seconds=30, checkpoint=checkpoint)
    found = await streams.find(one.id)
    assert found is not None
    assert (found.question, found.checkpoint) == (text, checkpoint)
    result = outcome(text, finish_reason=text)
    await end(streams, one, result)
    found = await streams.find(one.id)
    assert found is not None
    assert found.outcome == result
    assert found.intent == intent_of(result, reservation())


async def test_renewing_tells_of_a_stop_and_of_a_lost_fence(streams: StreamRepository) -> None:
    one = await claimed(streams)
    await begin(streams, one)
    assert await streams.renew(one.id, 1, lease_seconds=30, checkpoint=None) is False
    stopped = await streams.ask_stop(one.session_id)
    assert stopped is not None
    assert (stopped.id, stopped.stop_asked) == (one.id, True)
    assert await streams.renew(one.id, 1, lease_seconds=30, checkpoint=None) is True
    assert await streams.renew(one.id, 2, lease_seconds=30, checkpoint=None) is None
    assert await streams.ask_stop("ses_other") is None


async def test_a_stream_is_taken_after_its_lease_only_and_once(streams: StreamRepository) -> None:
    one = await claimed(streams)
    await begin(streams, one)
    assert await streams.find_expired() == []
    assert await streams.take(one.id, owner="own_other", lease_seconds=30) is None
    await streams.renew(one.id, 1, lease_seconds=-1, checkpoint=None)
    assert await streams.find_expired() == [ExpiredLease(one.id, given_up=False)]
    takers = [streams.take(one.id, owner=f"own_{n}", lease_seconds=30) for n in range(10)]
    taken = [answer for answer in await gather(*takers) if answer]
    assert [answer.fence for answer in taken] == [2]
    assert await streams.find_expired() == []


async def test_an_expired_lease_that_nobody_took_is_renewed_by_its_owner(
    streams: StreamRepository,
) -> None:
    one = await claimed(streams, lease=-1)
    assert await streams.renew(one.id, 1, lease_seconds=30, checkpoint=None) is False
    assert await streams.take(one.id, owner="own_other", lease_seconds=30) is None


async def test_who_lost_the_stream_can_do_nothing_more_with_it(streams: StreamRepository) -> None:
    one = await claimed(streams, lease=-1)
    taken = await streams.take(one.id, owner="own_other", lease_seconds=30)
    assert taken is not None
    assert not await begin(streams, one)
    assert await streams.renew(one.id, 1, lease_seconds=30, checkpoint=None) is None
    assert not await end(streams, one, outcome())
    assert not await streams.release(one, settlement=SETTLED)
    await streams.discard(one)
    assert await streams.find(one.id) == taken


async def test_what_its_owner_gives_up_is_anybodys_at_once_and_no_longer_the_owners(
    streams: StreamRepository,
) -> None:
    promised, unpromised = (
        await claimed(streams, owner="own_a"),
        await claimed(streams, owner="own_a"),
    )
    others = await claimed(streams, owner="own_b")
    await begin(streams, promised)
    checkpoint = Checkpoint(text="$half", number=7)

    assert await streams.give_up("own_a", [(promised, checkpoint)]) == 2

    assert {(one.stream_id, one.given_up) for one in await streams.find_expired()} == {
        (promised.id, True), (unpromised.id, True),
    }  # fmt: skip
    # what the owner has sent before and the database sees only now
    assert await streams.renew(promised.id, 1, lease_seconds=30, checkpoint=None) is None
    assert not await end(streams, promised, outcome())
    assert not await begin(streams, unpromised)
    assert await streams.give_up("own_a", [(promised, Checkpoint())]) == 0
    taken = await streams.take(promised.id, owner="own_c", lease_seconds=30)
    assert taken is not None
    assert (taken.fence, taken.owner, taken.checkpoint) == (3, "own_c", checkpoint)
    assert await streams.renew(others.id, 1, lease_seconds=30, checkpoint=None) is False


async def test_what_was_taken_meanwhile_is_not_given_up(streams: StreamRepository) -> None:
    one = await claimed(streams, lease=-1, owner="own_a")
    assert await streams.take(one.id, owner="own_b", lease_seconds=30) is not None
    assert await streams.give_up("own_a", [(one, Checkpoint())]) == 0
    assert await streams.find_expired() == []


async def test_the_session_is_free_after_the_release_and_not_before(
    streams: StreamRepository,
) -> None:
    one = await claimed(streams)
    await begin(streams, one)
    assert not await streams.release(one, settlement=None)  # not ended yet
    assert await end(streams, one, outcome())
    other = claim(session_id=one.session_id)
    in_the_way = await streams.claim(other, lease_seconds=30)
    assert in_the_way is not None
    assert in_the_way.id == one.id
    assert await streams.release(one, settlement=SETTLED)
    assert await streams.release(one, settlement=SETTLED)  # its acknowledgement was lost, say
    assert await streams.claim(other, lease_seconds=30) is None
    ended = await streams.find(one.id)
    assert ended is not None
    assert (ended.live, ended.settlement, ended.checkpoint) == (False, SETTLED, Checkpoint())
    assert in_the_way.released_at is None
    assert ended.released_at is not None
    assert ended.released_at > MOMENT  # by the database's clock
    assert await streams.find_expired() == []


async def test_a_freed_stream_keeps_no_text(streams: StreamRepository) -> None:
    one = await claimed(streams)
    await begin(streams, one)
    await end(streams, one, outcome())
    kept = await streams.find(one.id)
    assert kept is not None
    assert kept.outcome is not None
    assert kept.outcome.text
    assert kept.question

    await streams.release(kept, settlement=None)

    freed = await streams.find(one.id)
    assert freed is not None
    assert (freed.question, freed.checkpoint) == ("", Checkpoint())
    assert freed.outcome == replace(kept.outcome, text="")


async def test_a_refused_stream_is_freed_without_an_outcome(streams: StreamRepository) -> None:
    one = await claimed(streams)
    await end(streams, one, None)

    assert await streams.release(one, settlement=None)

    freed = await streams.find(one.id)
    assert freed is not None
    assert (freed.outcome, freed.question) == (None, "")


async def test_what_is_unsettled_is_listed_once_it_is_free_until_it_is_settled(
    streams: StreamRepository,
) -> None:
    made = []
    for minute in range(3):
        one = await claimed(streams)
        await end(streams, one, outcome(), ended_at=MOMENT + timedelta(minutes=minute))
        made.append(one)
    assert await streams.find_unsettled() == []
    for one in made:
        await streams.release(one, settlement=None)
    assert [one.id for one in await streams.find_unsettled()] == [one.id for one in made]
    assert [one.id for one in await streams.find_unsettled(after=MOMENT)] == [
        one.id for one in made[1:]
    ]
    await streams.record_settlement(made[0].id, SETTLED)
    assert [one.id for one in await streams.find_unsettled()] == [one.id for one in made[1:]]
    settled = await streams.find(made[0].id)
    assert settled is not None
    assert settled.settlement == SETTLED


async def test_every_end_counts_as_unsettled_from_its_write_to_its_settlement(
    streams: StreamRepository,
) -> None:
    assert await streams.measure_unsettled() == Unsettled()
    made = []
    for minute in range(4):
        one = await claimed(streams)
        await end(streams, one, outcome(), ended_at=MOMENT + timedelta(minutes=minute))
        made.append(one)
    await claimed(streams)  # has not ended
    assert await streams.measure_unsettled() == Unsettled(4, MOMENT)  # nobody has freed them
    await streams.release(made[0], settlement=SETTLED)
    await streams.release(made[1], settlement=None)
    later = MOMENT + timedelta(minutes=1)
    assert await streams.measure_unsettled() == Unsettled(3, later)
    assert await streams.measure_unsettled(limit=2) == Unsettled(2, later)
    await streams.record_settlement(made[1].id, SETTLED)
    assert (await streams.measure_unsettled()).count == 2


async def test_a_key_leads_to_the_stream_that_it_began(streams: StreamRepository) -> None:
    one = await claimed(streams, user_id="usr_a", idempotency_key="key", body_digest="d")
    await end(streams, one, outcome())
    await streams.release(one, settlement=SETTLED)
    again = claim(user_id="usr_a", idempotency_key="key", body_digest="d")
    same = await streams.claim(again, lease_seconds=30)
    assert same is not None
    assert (same.id, same.body_digest) == (one.id, "d")
    assert await streams.find(again.id) is None
    await claimed(streams, user_id="usr_b", idempotency_key="key")


async def test_a_key_whose_attempt_was_refused_is_free(streams: StreamRepository) -> None:
    one = await claimed(streams, user_id="usr_a", idempotency_key="key", body_digest="d")
    await end(streams, one, None)
    await streams.release(one, settlement=None)
    await claimed(streams, user_id="usr_a", idempotency_key="key", body_digest="d")


async def test_a_discarded_claim_is_gone(streams: StreamRepository) -> None:
    one = await claimed(streams, idempotency_key="key")
    await streams.discard(one)
    assert await streams.find(one.id) is None
    await claimed(streams, session_id=one.session_id, idempotency_key="key", user_id=one.user_id)


async def test_the_latest_and_the_next_promised_streams_are_found(
    streams: StreamRepository,
) -> None:
    session_id, begun = "ses_one", datetime(2026, 1, 1, tzinfo=UTC)
    made: list[Stream] = []
    for minute, result in enumerate((outcome("a"), None, outcome("b"))):
        started = begun + timedelta(minutes=minute)
        one = await claimed(streams, session_id=session_id, started_at=started)
        await end(streams, one, result)
        await streams.release(one, settlement=SETTLED)
        made.append(one)
    running = await claimed(streams, session_id=session_id, started_at=begun + timedelta(minutes=9))
    found = await streams.find_latest(session_id)
    assert found is not None
    assert found.id == made[2].id  # what is merely claimed is promised to nobody
    await begin(streams, running)
    expected = [made[0].id, made[2].id, running.id]
    after, seen = None, []
    while (next_one := await streams.find_next(session_id, after)) is not None:
        seen.append(next_one.id)
        after = next_one.started_at
    assert seen == expected


async def test_the_next_streams_of_many_sessions_are_those_of_each(
    streams: StreamRepository,
) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    positions: set[tuple[str, datetime | None]] = set()
    for number in range(12):
        session_id = f"ses_{number}"
        for minute in range(number % 3):
            started = begun + timedelta(minutes=minute)
            one = await claimed(streams, session_id=session_id, started_at=started)
            await end(streams, one, outcome("a") if number % 4 else None)
            await streams.release(one, settlement=SETTLED)
        await claimed(streams, session_id=session_id)  # promised to nobody
        positions |= {(session_id, None), (session_id, begun)}
    positions.discard(("ses_7", None))
    found = {stream.id for stream in await streams.find_all_next(positions)}
    singly = {(await streams.find_next(*position)) for position in positions}
    assert {stream.id for stream in singly if stream is not None} <= found
    assert {stream.session_id for stream in singly if stream is not None} == {
        f"ses_{number}" for number in (1, 2, 5, 10, 11)
    }
    assert not await streams.find_all_next([("ses_0", None), ("ses_7", begun)])


async def test_a_sessions_streams_are_removed_but_for_what_is_unsettled(
    streams: StreamRepository,
) -> None:
    settled = await claimed(streams, session_id="ses_one")
    await end(streams, settled, outcome())
    await streams.release(settled, settlement=SETTLED)
    pending = await claimed(streams, session_id="ses_one")
    await end(streams, pending, outcome())
    await streams.release(pending, settlement=None)
    ids = await streams.ended_of_session("ses_one")
    assert ids == [settled.id, pending.id]
    await streams.delete_settled(ids)
    assert await streams.find(settled.id) is None
    assert await streams.find(pending.id) is not None
