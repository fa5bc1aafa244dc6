"""What a turn reads and writes in several collections at once, on a real server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT, outcome, reservation, stream

from aula_chat.domain.errors import DatabaseTooOldError
from aula_chat.domain.messages import Message
from aula_chat.domain.sessions import UNTITLED, Session
from aula_chat.domain.streams import Phase, Settlement, Stream, intent_of
from aula_chat.domain.turns import Beginning, Sight
from aula_chat.services.conclusions import answer_message, question_message
from aula_chat.storage.database import require_version
from aula_chat.storage.messages import MessageRepository
from aula_chat.storage.sessions import SessionRepository
from aula_chat.storage.streams import StreamRepository
from aula_chat.storage.turns import TurnRepository

Store = AsyncDatabase[dict[str, Any]]
SETTLED = Settlement(credits=3, status="completed")
LATER = MOMENT + timedelta(minutes=1)
SESSION, OWNER = "ses_one", "usr_one"


class World:
    """The collections, with one session in them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.turns = TurnRepository(store)
        self.sessions = SessionRepository(store["sessions"])
        self.messages = MessageRepository(store["messages"])
        self.streams = StreamRepository(store["streams"])

    async def look(self, *, limit: int = 9) -> Sight:
        found = await self.turns.look(SESSION, OWNER, limit=limit)
        assert found is not None
        return found

    async def claimed(self, position: int = 1, **changes: Any) -> Stream:
        new = stream(
            session_id=SESSION, user_id=OWNER, phase=Phase.CLAIMED, position=position, **changes
        )
        assert await self.streams.claim(new, lease_seconds=30) is None
        return new

    async def begin(self, one: Stream, *, after: str | None = None) -> Beginning:
        granted = replace(one, reservation=reservation(max_output_tokens=7))
        return await self.turns.begin(granted, question_message(one), after=after, lease_seconds=30)

    async def ended(self, one: Stream) -> Stream:
        result = outcome("$answer")
        intent = intent_of(result, one.reservation)
        assert await self.streams.end(
            one, outcome=result, intent=intent, last_number=3, ended_at=LATER, lease_seconds=30
        )
        return replace(one, phase=Phase.ENDED, outcome=result, intent=intent, ended_at=LATER)

    async def publish(self, ended: Stream, settlement: Settlement | None = SETTLED) -> bool:
        told = replace(ended, settlement=settlement)
        return await self.turns.publish(told, both(told), title="$title")

    async def documents(self) -> dict[str, list[dict[str, Any]]]:
        names = ("sessions", "messages", "streams")
        return {name: await self.store[name].find().to_list() for name in names}


def both(told: Stream) -> tuple[Message, Message]:
    assert told.outcome is not None
    return question_message(told), answer_message(told, told.outcome)


@pytest.fixture
async def world(store: Store) -> World:
    """It."""
    made = World(store)
    await made.sessions.create(
        Session(
            id=SESSION, user_id=OWNER, title=UNTITLED, model_id="m", created_at=MOMENT,
            updated_at=MOMENT,
        )
    )  # fmt: skip
    return made


async def test_a_new_session_is_seen_by_its_owner_alone(world: World) -> None:
    seen = await world.look()
    assert seen.session == await world.sessions.find(SESSION)
    assert (seen.conversation.turns, seen.last_position) == ((), 0)
    assert await world.turns.look(SESSION, "usr_two", limit=9) is None
    assert await world.turns.look("ses_two", OWNER, limit=9) is None
    await world.sessions.disown(OWNER)
    assert await world.turns.look(SESSION, OWNER, limit=9) is None


async def test_the_newest_turns_are_seen_oldest_of_them_first(world: World) -> None:
    after = None
    for position in (1, 3):
        one = await world.claimed(position, question=f"question {position}")
        assert await world.begin(one, after=after) is Beginning.BEGUN
        assert await world.publish(await world.ended(one))
        after = one.id
    seen = await world.look(limit=4)
    assert [(turn.role, turn.text) for turn in seen.conversation.turns] == [
        ("assistant", "$answer"), ("user", "question 3"), ("assistant", "$answer"),
    ]  # fmt: skip
    assert (seen.last_position, seen.session.last_stream_id) == (4, after)
    assert seen.conversation.earlier == 1  # a whole `limit`: there may be more


async def test_a_beginning_promises_the_stream_and_keeps_its_question(world: World) -> None:
    one = await world.claimed(question="$question")
    before = await world.look()
    for _ in range(2):  # the driver repeats what was not answered
        assert await world.begin(one) is Beginning.BEGUN
    begun = await world.streams.find(one.id)
    granted = reservation(max_output_tokens=7)
    assert begun == replace(one, phase=Phase.RUNNING, reservation=granted)
    assert await world.messages.newest(SESSION, 9) == [question_message(one)]
    assert (await world.look()).session == before.session


async def deleted(world: World, _: Stream) -> None:
    await world.sessions.delete(SESSION)


async def disowned(world: World, _: Stream) -> None:
    await world.sessions.disown(OWNER)


async def answered_since(world: World, _: Stream) -> None:
    await world.store["sessions"].update_one({"_id": SESSION}, {"$set": {"lastStreamId": "str_b"}})


async def taken(world: World, one: Stream) -> None:
    await world.streams.renew(one.id, 1, lease_seconds=-1, checkpoint=None)
    assert await world.streams.take(one.id, owner="own_other", lease_seconds=30) is not None


async def given_up(world: World, one: Stream) -> None:
    assert await world.streams.give_up(one.owner) == 1


async def refused(world: World, one: Stream) -> None:
    intent = intent_of(outcome(), one.reservation)
    assert await world.streams.end(
        one, outcome=None, intent=intent, last_number=1, ended_at=LATER, lease_seconds=30
    )


async def refused_and_freed(world: World, one: Stream) -> None:
    await refused(world, one)
    assert await world.streams.release(one, settlement=SETTLED)


async def discarded(world: World, one: Stream) -> None:
    await world.streams.discard(one)


@pytest.mark.parametrize(
    ("happens", "beginning"),
    [
        (deleted, Beginning.CHANGED),
        (disowned, Beginning.CHANGED),
        (answered_since, Beginning.CHANGED),
        (taken, Beginning.FENCED),
        (given_up, Beginning.FENCED),
        (refused, Beginning.FENCED),
        (refused_and_freed, Beginning.FENCED),
        (discarded, Beginning.FENCED),
    ],
)
async def test_a_beginning_that_is_refused_leaves_everything_as_it_was(
    world: World, happens: Callable[..., Any], beginning: Beginning
) -> None:
    one = await world.claimed()
    await happens(world, one)
    before = await world.documents()
    assert await world.begin(one) is beginning
    assert await world.documents() == before


async def test_a_published_stream_counts_once_however_often_it_is_published(world: World) -> None:
    one = await world.claimed()
    await world.begin(one)
    ended = await world.ended(one)
    for _ in range(2):
        assert await world.publish(ended)
    seen = (await world.look()).session
    assert (seen.title, seen.updated_at, seen.last_stream_id) == ("$title", LATER, one.id)
    assert (seen.last_tokens_used, seen.total_tokens_used) == (6, 6)
    told = replace(ended, settlement=SETTLED)
    assert await world.messages.newest(SESSION, 9) == list(both(told))
    freed = await world.streams.find(one.id)
    assert freed is not None
    assert (freed.live, freed.question, freed.settlement) == (False, "", SETTLED)
    assert await world.streams.find_live(SESSION) is None


async def test_what_broke_off_before_the_session_was_free_is_published_to_its_end(
    world: World,
) -> None:
    one = await world.claimed()
    await world.begin(one)
    ended = await world.ended(one)
    before = await world.documents()
    assert await world.publish(ended)
    published = await world.documents()
    for name in ("streams", "sessions"):  # the last writes, as if they had not come any more
        await world.store[name].replace_one({}, before[name][0])
        assert await world.publish(ended)
        again = await world.documents()
        for moments in (published, again):
            moments["streams"][0].pop("purgeAt", None)
            moments["streams"][0].pop("releasedAt", None)
        assert again == published
        await world.store["streams"].replace_one({}, before["streams"][0])


async def answered_next(world: World, one: Stream) -> None:
    following = await world.claimed(3)
    await world.begin(following, after=one.id)
    assert await world.publish(await world.ended(following))


async def answer_deleted(world: World, one: Stream) -> None:
    assert await world.messages.delete(SESSION, one.answer_id)


@pytest.mark.parametrize("happens", [answered_next, answer_deleted, deleted])
@pytest.mark.parametrize("recovered", [False, True])
async def test_what_is_published_late_changes_nothing_that_came_after(
    world: World,
    happens: Callable[..., Any],
    recovered: bool,  # noqa: FBT001
) -> None:
    one = await world.claimed()
    await world.begin(one)
    ended = await world.ended(one)
    if recovered:  # while its owner slept
        await taken(world, one)
    assert await world.publish(replace(ended, fence=1 + recovered))
    await happens(world, one)
    before = await world.documents()
    # by its owner, who wakes; or whose first answer was lost
    assert await world.publish(ended) is not recovered
    assert await world.documents() == before


async def test_a_title_that_somebody_gave_stays(world: World) -> None:
    await world.sessions.update(SESSION, OWNER, {"title": "Tides"})
    one = await world.claimed()
    await world.begin(one)
    await world.publish(await world.ended(one))
    assert (await world.look()).session.title == "Tides"


async def test_credits_come_into_a_message_that_is_there_and_nothing_else_does(
    world: World,
) -> None:
    one = await world.claimed()
    ended = await world.ended(one)
    await world.publish(ended, settlement=None)
    # as if it had broken off before its last write
    await world.store["streams"].update_one({"_id": one.id}, {"$set": {"live": True}})
    question, answer = await world.messages.newest(SESSION, 9)
    assert "credits" not in answer.metadata
    assert ended.outcome is not None
    other = replace(ended, outcome=replace(ended.outcome, text="other"))
    await world.publish(other)
    metadata = {**answer.metadata, "credits": 3}
    assert await world.messages.newest(SESSION, 9) == [question, replace(answer, metadata=metadata)]


async def test_who_lost_the_stream_frees_nothing_and_takes_its_messages_back(world: World) -> None:
    one = await world.claimed()
    await world.begin(one)
    ended = await world.ended(one)
    await taken(world, one)
    assert not await world.publish(ended)
    found = await world.streams.find_live(SESSION)
    assert found is not None
    assert (found.id, found.fence) == (one.id, 2)
    await world.messages.withdraw((one.question_id, one.answer_id), fence=1)
    assert await world.messages.newest(SESSION, 9) == []


async def test_a_server_without_such_commands_is_refused_at_the_start(store: Store) -> None:
    await require_version(store)

    class Older:
        async def command(self, _: str) -> dict[str, Any]:
            return {**await store.command("hello"), "maxWireVersion": 24}

    with pytest.raises(DatabaseTooOldError):
        await require_version(Older())  # type: ignore[arg-type]  # what it asks of a database
