"""The chat sessions."""

import re
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any

from pymongo import DESCENDING, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection

from aula_chat.domain.sessions import UNTITLED, Session
from aula_chat.domain.streams import Stream
from aula_common.mongo import mongo_errors

Document = dict[str, Any]
_NOBODY = ""  # owns what is being erased, so that it is absent to whoever asks


class SessionRepository:
    """The collection `sessions`."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._sessions = collection

    async def create(self, session: Session) -> None:
        """Keep a new session."""
        with mongo_errors():
            await self._sessions.insert_one(_to_document(session))

    async def find(self, session_id: str) -> Session | None:
        """The session of that id, unless it is being erased."""
        return await self._find({"_id": session_id, "userId": {"$ne": _NOBODY}})

    async def find_owned(self, session_id: str, user_id: str) -> Session | None:
        """The session of that id, if it is that person's."""
        return await self._find({"_id": session_id, "userId": user_id})

    async def find_existing(self, session_ids: Collection[str]) -> set[str]:
        """Those of these sessions that are there and not being erased."""
        query = {"_id": {"$in": list(session_ids)}, "userId": {"$ne": _NOBODY}}
        with mongo_errors():
            return {document["_id"] async for document in self._sessions.find(query, {"_id": 1})}

    async def page(
        self,
        user_id: str,
        *,
        offset: int,
        limit: int,
        title_contains: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> tuple[list[Session], int]:
        """A page of a person's sessions, newest first, and how many there are."""
        query: Document = {"userId": user_id}
        if title_contains:
            query["title"] = {"$regex": re.escape(title_contains), "$options": "i"}
        query |= {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        with mongo_errors():
            total = await self._sessions.count_documents(query)
            cursor = (
                self._sessions.find(query).sort("updatedAt", DESCENDING).skip(offset).limit(limit)
            )
            return [to_session(document) async for document in cursor], total

    async def update(self, session_id: str, user_id: str, fields: Document) -> Session | None:
        """Set `title` or `modelId` of a person's session; None if there is none."""
        with mongo_errors():
            document = await self._sessions.find_one_and_update(
                {"_id": session_id, "userId": user_id},
                {"$set": fields},
                return_document=ReturnDocument.AFTER,
            )
        return to_session(document) if document else None

    async def disown(self, user_id: str) -> list[Session]:
        """Make a person's sessions nobody's; those that are left of them, now or from before."""
        with mongo_errors():
            await self._sessions.update_many(
                {"userId": user_id}, {"$set": {"userId": _NOBODY, "formerUserId": user_id}}
            )
            cursor = self._sessions.find({"formerUserId": user_id})
            return [to_session(document) async for document in cursor]

    async def each_of(self, user_id: str) -> AsyncGenerator[Session, None]:
        """All of a person's sessions, newest first."""
        with mongo_errors():
            cursor = self._sessions.find({"userId": user_id}).sort("updatedAt", DESCENDING)
            async for document in cursor:
                yield to_session(document)

    async def delete(self, session_id: str) -> None:
        """Remove a session."""
        with mongo_errors():
            await self._sessions.delete_one({"_id": session_id})

    async def _find(self, query: Document) -> Session | None:
        with mongo_errors():
            document = await self._sessions.find_one(query)
        return to_session(document) if document else None


def answered(ended: Stream, *, title: str) -> tuple[Document, list[Document]]:
    """Which session to update, and how, for a stream's answer: it counts once.

    The session moves up, its tokens grow; an untitled one takes the title.
    """
    tokens = ended.intent.output_tokens if ended.intent else 0
    counted: Document = {
        "updatedAt": ended.ended_at or ended.started_at,
        "lastStreamId": {"$literal": ended.id},
        "lastPosition": ended.position + 1,
        "lastTokensUsed": tokens,
        "totalTokensUsed": {"$add": ["$totalTokensUsed", tokens]},
        # in a pipeline a string that begins with $ is a field's path
        "title": {"$cond": [{"$eq": ["$title", UNTITLED]}, {"$literal": title}, "$title"]},
    }
    return {"_id": ended.session_id, "lastStreamId": {"$ne": ended.id}}, [{"$set": counted}]


def _to_document(session: Session) -> Document:
    return {
        "_id": session.id,
        "userId": session.user_id,
        "title": session.title,
        "modelId": session.model_id,
        "createdAt": session.created_at,
        "updatedAt": session.updated_at,
        "metadata": dict(session.metadata),
        "totalTokensUsed": session.total_tokens_used,
    }


def to_session(document: Document) -> Session:
    """The session of a document."""
    return Session(
        id=document["_id"],
        user_id=document["userId"] or document["formerUserId"],
        title=document["title"],
        model_id=document["modelId"],
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
        metadata=document["metadata"],
        last_tokens_used=document.get("lastTokensUsed", 0),
        total_tokens_used=document["totalTokensUsed"],
        last_position=document.get("lastPosition", 0),
        last_stream_id=document.get("lastStreamId"),
    )
