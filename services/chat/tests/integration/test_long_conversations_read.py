"""Reads of a conversation, whatever was deleted of it, and what they have the server look at."""

from typing import Any

import pytest
from long_talks import Replies, examined, messages
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT

from aula_chat.domain.language_models import Turn
from aula_chat.domain.prompts import Conversation
from aula_chat.storage.messages import MessageRepository
from aula_chat.storage.turns import TurnRepository

Documents = AsyncDatabase[dict[str, Any]]
LAST = 120
DELETED = {
    "none": set[int](),
    "some": {3, 7, 8, 50, 51, 52, 90, 117},
    "the newest": set(range(100, LAST + 1)),
    "nearly all of the newest": {*range(40, LAST)},
    "the oldest": set(range(1, 60)),
    "all but one": {*range(1, 70), *range(71, LAST + 1)},
    "all": set(range(1, LAST + 1)),
}


@pytest.fixture(params=DELETED)
async def left(request: pytest.FixtureRequest, store: Documents) -> list[int]:
    """The positions that are left of a conversation."""
    deleted = DELETED[request.param]
    kept = [one for one in messages("ses_a", LAST) if one["position"] not in deleted]
    if kept:
        await store["messages"].insert_many(kept)
    await store["messages"].insert_many(messages("ses_b", 5))
    return [one["position"] for one in kept]


async def test_every_page_holds_what_it_should(store: Documents, left: list[int]) -> None:
    repository = MessageRepository(store["messages"])
    for last_position in (0, 60, LAST):  # unknown; not yet noted of the newest; known
        for limit in (1, 7, 20, 100):
            for offset in (0, limit, 3 * limit):
                page, total = await repository.page(
                    "ses_a", offset=offset, limit=limit, last_position=last_position
                )
                assert [one.position for one in page] == left[offset : offset + limit]
                assert total == len(left)


async def test_the_newest_are_the_newest(store: Documents, left: list[int]) -> None:
    repository = MessageRepository(store["messages"])
    for last_position in (0, 60, LAST):
        for limit in (1, 19, 20, 60, 99, 119, 120, 200):
            found = await repository.newest("ses_a", limit, last_position=last_position)
            assert [one.position for one in found] == left[-limit:]


async def test_a_look_sees_the_newest_whether_it_knows_the_session_or_not(
    store: Documents, left: list[int]
) -> None:
    for noted in (0, 60, LAST):
        await store["sessions"].replace_one({"_id": "ses_a"}, session(noted), upsert=True)
        for limit in (1, 19, 20, 60, 99, 119, 120, 200):
            turns = TurnRepository(store)
            for _ in range(2):  # the second knows where the conversation ended
                seen = await turns.look("ses_a", "usr_a", limit=limit)
                assert seen is not None
                assert seen.conversation == conversation_of(left, limit)
                assert seen.last_position == max(noted, left[-1] if left else 0)


def session(last_position: int, session_id: str = "ses_a") -> dict[str, Any]:
    return {
        "_id": session_id, "userId": "usr_a", "title": "t", "modelId": "m", "createdAt": MOMENT,
        "updatedAt": MOMENT, "metadata": {}, "totalTokensUsed": 0, "lastPosition": last_position,
    }  # fmt: skip


def conversation_of(left: list[int], limit: int) -> Conversation:
    """All but the oldest of a full `limit`, which stands for whatever may be before."""
    full = len(left) >= limit
    given = left[-limit:][1:] if full else left
    texts = {one["position"]: one for one in messages("ses_a", LAST)}
    return Conversation(
        turns=tuple(Turn(texts[at]["role"], texts[at]["content"]) for at in given),
        earlier=left[-limit] if full else 0,
        last_position=left[-1] if left else 0,
    )


async def test_a_long_conversation_has_no_more_looked_at_than_a_short_one(
    store: Documents, mongo_database: str
) -> None:
    replies = Replies()
    looked_at = {}
    for count in (230, 5000):
        session_id = f"ses_{count}"
        await store["messages"].insert_many(messages(session_id, count))
        await store["sessions"].insert_one(session(count, session_id))
        async with AsyncMongoClient[dict[str, Any]](
            mongo_database, event_listeners=[replies]
        ) as client:
            repository = MessageRepository(client.get_default_database()["messages"])
            turns = TurnRepository(client.get_default_database())
            await turns.look(session_id, "usr_a", limit=200)
            replies.sent.clear()
            await turns.look(session_id, "usr_a", limit=200)
            await repository.newest(session_id, 100, last_position=count)
            await repository.page(session_id, offset=0, limit=20, last_position=count)
            await repository.page(session_id, offset=20, limit=100, last_position=count)
        reads = [one for one in replies.sent if "find" in one or "$sort" in str(one)]
        assert len(reads) == 4  # one each, and no more batches
        assert not [one for one in replies.sent if "getMore" in one]
        looked_at[count] = [await examined(store, read) for read in reads]
    assert looked_at[230] == looked_at[5000] == [220, 120, 40, 140]


@pytest.mark.parametrize(
    ("count", "collections"), [(50, ("sessions", "messages")), (230, ("messages", "sessions"))]
)
async def test_a_look_at_a_session_goes_through_no_others(
    store: Documents, mongo_database: str, count: int, collections: tuple[str, str]
) -> None:
    # the embedded server joins by an index, but makes a union with all that a collection holds
    first, joined = collections
    fields = {"sessions": "_id", "messages": "sessionId"}
    replies = Replies()
    for number in range(3):
        await store["sessions"].insert_one(session(count, f"ses_{number}"))
        await store["messages"].insert_many(messages(f"ses_{number}", count))
    async with AsyncMongoClient[dict[str, Any]](
        mongo_database, event_listeners=[replies]
    ) as client:
        turns = TurnRepository(client.get_default_database())
        for _ in range(2):  # the second knows where the conversation ended
            assert await turns.look("ses_1", "usr_a", limit=200)
    looks = [one for one in replies.sent if "aggregate" in one]
    assert [one["aggregate"] for one in looks] == ["sessions", first]
    look = looks[-1]
    assert look["pipeline"][0]["$match"][fields[first]] == "ses_1"
    [join] = [one["$lookup"] for one in look["pipeline"] if "$lookup" in one]
    assert (join["from"], join["localField"]) == (joined, "_id")
    assert join["foreignField"] == fields[joined]
    assert "$unionWith" not in str(look)
    assert await examined(store, look) == min(count, 220)


async def test_a_long_conversation_is_seen_by_its_owner_alone_and_while_it_is_there(
    store: Documents,
) -> None:
    await store["messages"].insert_many(messages("ses_a", 230))
    await store["sessions"].insert_one(session(230))
    turns = TurnRepository(store)
    for _ in range(2):
        assert await turns.look("ses_a", "usr_a", limit=200)
        assert await turns.look("ses_a", "usr_b", limit=200) is None
    await store["sessions"].delete_one({"_id": "ses_a"})
    assert await turns.look("ses_a", "usr_a", limit=200) is None
