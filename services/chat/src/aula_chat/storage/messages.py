"""The messages of the conversations."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from aula_chat.domain.messages import CREDITS, Message, MessageRole, MessageStatus
from aula_common.mongo import mongo_errors

Document = dict[str, Any]
_GAPS = 20  # deleted messages that a bounded read passes over


class MessageRepository:
    """The collection `messages`."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._messages = collection

    async def record_charge(self, message_id: str, charge: int) -> None:
        """Keep with a message the credits that accounting charged for it."""
        with mongo_errors():
            await self._messages.update_one(
                {"_id": message_id}, {"$set": {f"metadata.{CREDITS}": charge}}
            )

    async def find(self, message_id: str) -> Message | None:
        """The message of that id."""
        with mongo_errors():
            document = await self._messages.find_one({"_id": message_id})
        return _to_message(document) if document else None

    async def newest(self, session_id: str, limit: int, *, last_position: int = 0) -> list[Message]:
        """The session's newest messages, oldest of them first.

        `last_position` is the session's, which makes it cheap where there are many.
        """
        query = newest_of(session_id, limit, last_position)
        with mongo_errors():
            found = await (
                self._messages.find(query)
                .sort("position", DESCENDING)
                .limit(limit)
                .batch_size(limit)  # the server's own first batch ends at 101
                .to_list()
            )
        if len(found) < limit and "position" in query:
            return await self.newest(session_id, limit)
        return [_to_message(document) for document in reversed(found)]

    async def page(
        self, session_id: str, *, offset: int, limit: int, last_position: int = 0
    ) -> tuple[list[Message], int]:
        """A page of the session's messages, oldest first, and how many there are.

        `last_position` is the session's, which makes the first pages of many cheap.
        """
        query: Document = {"sessionId": session_id}
        with mongo_errors():
            total = await self._messages.count_documents(query)
            bound = offset + limit + _GAPS
            found = []
            if bound < last_position:
                found = await self._slice(
                    {**query, "position": {"$lte": bound}}, offset=offset, limit=limit
                )
            if len(found) < limit:
                found = await self._slice(query, offset=offset, limit=limit)
        return [_to_message(document) for document in found], total

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

    async def _slice(self, query: Document, *, offset: int, limit: int) -> list[Document]:
        return await self._messages.find(query).sort("position").skip(offset).limit(limit).to_list()

    async def count(self, session_ids: list[str]) -> dict[str, int]:
        """How many messages each of these sessions has."""
        pipeline: list[Document] = [
            {"$match": {"sessionId": {"$in": session_ids}}},
            {"$group": {"_id": "$sessionId", "count": {"$sum": 1}}},
        ]
        with mongo_errors():
            cursor = await self._messages.aggregate(pipeline)
            return {row["_id"]: row["count"] async for row in cursor}


def newest_of(session_id: str, limit: int, last_position: int) -> Document:
    """What a session's newest messages match: a range of positions, if it had more.

    That costs the same however many lie before it, on a server too that sorts what it has found.
    Only where many were deleted lately it holds fewer than `limit`, and all have to be looked at.
    """
    after = last_position - limit - _GAPS
    bound = {"position": {"$gt": after}} if after > 0 else {}
    return {"sessionId": session_id, **bound}


def kept(message: Message, *, fence: int) -> tuple[Document, Document]:
    """Which message to upsert, and how; one that is there stays as it is, but for its credits.

    It remembers the highest fence under which it was stored.
    """
    inserted = _to_document(message)
    update: Document = {"$setOnInsert": inserted, "$max": {"fence": fence}}
    if CREDITS in message.metadata:
        # credits may come after the rest
        metadata = inserted.pop("metadata")
        update["$set"] = {f"metadata.{CREDITS}": metadata.pop(CREDITS)}
        inserted |= {f"metadata.{name}": value for name, value in metadata.items()}
    return {"_id": message.id}, update


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
