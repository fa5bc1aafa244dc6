"""The messages of the conversations."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pymongo import DESCENDING, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from aula_chat.domain.messages import Message, MessageRole, MessageStatus
from aula_common.mongo import mongo_errors

Document = dict[str, Any]


class MessageRepository:
    """The collection `messages`."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._messages = collection

    async def store(self, *messages: Message, fence: int) -> None:
        """Keep messages, in order; one that is there already stays as it is.

        Each remembers the highest fence under which it was stored.
        """
        writes = [
            UpdateOne(
                {"_id": message.id},
                {"$setOnInsert": _to_document(message), "$max": {"fence": fence}},
                upsert=True,
            )
            for message in messages
        ]
        with mongo_errors():
            await self._messages.bulk_write(writes, ordered=True)

    async def record_charge(self, message_id: str, charge: int) -> None:
        """Keep with a message the credits that accounting charged for it."""
        with mongo_errors():
            await self._messages.update_one(
                {"_id": message_id}, {"$set": {"metadata.credits": charge}}
            )

    async def find(self, message_id: str) -> Message | None:
        """The message of that id."""
        with mongo_errors():
            document = await self._messages.find_one({"_id": message_id})
        return _to_message(document) if document else None

    async def newest(self, session_id: str, limit: int) -> list[Message]:
        """The session's newest messages, oldest of them first."""
        with mongo_errors():
            cursor = (
                self._messages.find({"sessionId": session_id})
                .sort("position", DESCENDING)
                .limit(limit)
            )
            found = [_to_message(document) async for document in cursor]
        return found[::-1]

    async def page(self, session_id: str, *, offset: int, limit: int) -> tuple[list[Message], int]:
        """A page of the session's messages, oldest first, and how many there are."""
        query = {"sessionId": session_id}
        with mongo_errors():
            total = await self._messages.count_documents(query)
            cursor = self._messages.find(query).sort("position").skip(offset).limit(limit)
            return [_to_message(document) async for document in cursor], total

    async def delete(self, session_id: str, message_id: str) -> bool:
        """Remove one message; False if the session has none of that id."""
        with mongo_errors():
            result = await self._messages.delete_one({"_id": message_id, "sessionId": session_id})
        return result.deleted_count == 1

    async def each_of(self, session_id: str) -> AsyncGenerator[Message, None]:
        """All of a session's messages, oldest first."""
        with mongo_errors():
            async for document in self._messages.find({"sessionId": session_id}).sort("position"):
                yield _to_message(document)

    async def withdraw(self, message_ids: Sequence[str], *, fence: int) -> None:
        """Remove those of these that nobody stored under a higher fence."""
        with mongo_errors():
            await self._messages.delete_many(
                {"_id": {"$in": list(message_ids)}, "fence": {"$lte": fence}}
            )

    async def delete_of_sessions(self, *session_ids: str) -> None:
        """Remove all messages of these sessions."""
        with mongo_errors():
            await self._messages.delete_many({"sessionId": {"$in": session_ids}})

    async def count(self, session_ids: list[str]) -> dict[str, int]:
        """How many messages each of these sessions has."""
        pipeline: list[Document] = [
            {"$match": {"sessionId": {"$in": session_ids}}},
            {"$group": {"_id": "$sessionId", "count": {"$sum": 1}}},
        ]
        with mongo_errors():
            cursor = await self._messages.aggregate(pipeline)
            return {row["_id"]: row["count"] async for row in cursor}


def _to_document(message: Message) -> Document:
    return {
        "sessionId": message.session_id,
        "userId": message.user_id,
        "position": message.position,
        "role": str(message.role),
        "content": message.content,
        "status": str(message.status),
        "createdAt": message.created_at,
        "metadata": dict(message.metadata),
    }


def _to_message(document: Document) -> Message:
    return Message(
        id=document["_id"],
        session_id=document["sessionId"],
        user_id=document["userId"],
        position=document["position"],
        role=MessageRole(document["role"]),
        content=document["content"],
        status=MessageStatus(document["status"]),
        created_at=document["createdAt"],
        metadata=document["metadata"],
    )
