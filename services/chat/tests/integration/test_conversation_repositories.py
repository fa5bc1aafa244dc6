"""Sessions and messages on a real server."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from stream_builders import MOMENT

from aula_chat.domain.messages import Message, MessageRole, MessageStatus
from aula_chat.domain.sessions import UNTITLED, Session
from aula_chat.storage.messages import MessageRepository, kept
from aula_chat.storage.sessions import SessionRepository
from aula_common.ids import new_id


@pytest.fixture
def sessions(store: AsyncDatabase[dict[str, Any]]) -> SessionRepository:
    """The sessions."""
    return SessionRepository(store["sessions"])


@pytest.fixture
def messages(store: AsyncDatabase[dict[str, Any]]) -> MessageRepository:
    """The messages."""
    return MessageRepository(store["messages"])


async def store_messages(messages: MessageRepository, *stored: Message, fence: int) -> None:
    """As a stream stores them."""
    writes = [UpdateOne(*kept(one, fence=fence), upsert=True) for one in stored]
    await messages._messages.bulk_write(writes, ordered=True)


def session(**changes: Any) -> Session:
    fields: dict[str, Any] = {
        "id": new_id("ses"), "user_id": "usr_a", "title": UNTITLED, "model_id": "m",
        "created_at": MOMENT, "updated_at": MOMENT, "metadata": {"projectId": "$x.y"}, **changes,
    }  # fmt: skip
    return Session(**fields)


def message(position: int, content: str = "Hi", **changes: Any) -> Message:
    fields: dict[str, Any] = {
        "id": new_id("msg"), "session_id": "ses_a", "user_id": "usr_a", "position": position,
        "role": MessageRole.USER, "content": content, "status": MessageStatus.COMPLETE,
        "created_at": MOMENT, **changes,
    }  # fmt: skip
    return Message(**fields)


async def test_a_session_is_its_owners_alone(sessions: SessionRepository) -> None:
    one = session()
    await sessions.create(one)
    assert await sessions.find_owned(one.id, "usr_a") == one
    assert await sessions.find_owned(one.id, "usr_b") is None
    assert await sessions.update(one.id, "usr_b", {"title": "mine"}) is None


async def test_sessions_are_listed_newest_first_and_searched_literally(
    sessions: SessionRepository,
) -> None:
    for minute, title in enumerate(("Rain", "sun (.*)", "Snow")):
        moved = MOMENT + timedelta(minutes=minute)
        await sessions.create(session(title=title, updated_at=moved))
    found, total = await sessions.page("usr_a", offset=0, limit=2)
    assert ([one.title for one in found], total) == (["Snow", "sun (.*)"], 3)
    for wanted, titles in (("SUN", ["sun (.*)"]), ("(.*)", ["sun (.*)"]), ("$", []), ("[", [])):
        found, _ = await sessions.page("usr_a", offset=0, limit=9, title_contains=wanted)
        assert [one.title for one in found] == titles
    found, _ = await sessions.page("usr_a", offset=0, limit=9, metadata={"projectId": "$x.y"})
    assert len(found) == 3


async def test_a_message_is_kept_once_and_stays_as_it_is(messages: MessageRepository) -> None:
    one = message(1, "$set: {a.b: 1}\u2028")
    await store_messages(messages, one, fence=1)
    await store_messages(messages, message(1, "other", id=one.id), message(2), fence=2)
    assert [kept.content for kept in await messages.newest("ses_a", 9)] == [one.content, "Hi"]
    await messages.record_charge(one.id, 4)
    found = await messages.find(one.id)
    assert found is not None
    assert found.metadata == {"credits": 4}


async def test_only_who_stored_a_message_last_takes_it_back(messages: MessageRepository) -> None:
    both, mine, others = message(1, "both"), message(2, "mine"), message(3, "another's")
    await store_messages(messages, both, mine, others, fence=1)
    await store_messages(messages, both, fence=2)
    await store_messages(messages, both, fence=1)  # late
    await messages.withdraw([both.id, mine.id], fence=1)
    assert [kept.content for kept in await messages.newest("ses_a", 9)] == ["both", "another's"]
    await messages.withdraw([both.id], fence=2)
    assert await messages.find(both.id) is None


async def test_the_newest_messages_come_oldest_first(messages: MessageRepository) -> None:
    await store_messages(
        messages, *(message(position, str(position)) for position in range(1, 8)), fence=1
    )
    assert [kept.content for kept in await messages.newest("ses_a", 3)] == ["5", "6", "7"]
    page, total = await messages.page("ses_a", offset=2, limit=2)
    assert ([kept.content for kept in page], total) == (["3", "4"], 7)
    assert await messages.count(["ses_a", "ses_b"]) == {"ses_a": 7}
    assert not await messages.delete("ses_b", page[0].id)
    assert await messages.delete("ses_a", page[0].id)
    await messages.delete_of_sessions("ses_a")
    assert await messages.newest("ses_a", 3) == []


async def test_disowned_sessions_are_absent_to_all_and_found_by_who_erases_them(
    sessions: SessionRepository,
) -> None:
    mine, others = [session(), session()], session(user_id="usr_b")
    for one in (*mine, others):
        await sessions.create(one)
    left = await sessions.disown("usr_a")
    assert sorted(left, key=lambda one: one.id) == sorted(mine, key=lambda one: one.id)
    for one in mine:
        assert await sessions.find(one.id) is None
        assert await sessions.find_owned(one.id, "usr_a") is None
        assert await sessions.update(one.id, "usr_a", {"title": "mine"}) is None
    assert await sessions.page("usr_a", offset=0, limit=9) == ([], 0)
    assert [one async for one in sessions.each_of("usr_a")] == []
    await sessions.delete(mine[0].id)
    late = session()
    await sessions.create(late)
    assert {one.id for one in await sessions.disown("usr_a")} == {mine[1].id, late.id}
    assert await sessions.find(others.id) == others


async def test_all_of_a_person_is_read_in_order(
    sessions: SessionRepository, messages: MessageRepository
) -> None:
    for minute, title in enumerate(("old", "new")):
        moved = MOMENT + timedelta(minutes=minute)
        await sessions.create(session(title=title, updated_at=moved))
    assert [one.title async for one in sessions.each_of("usr_a")] == ["new", "old"]
    await store_messages(
        messages, message(2, "second"), message(1, "first"), message(1, session_id="ses_b"), fence=1
    )
    assert [one.content async for one in messages.each_of("ses_a")] == ["first", "second"]
