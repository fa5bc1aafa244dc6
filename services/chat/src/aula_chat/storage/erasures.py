"""Who is to be erased, and how far that is. The documents stay: they refuse what comes late."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from aula_chat.domain.erasures import Erasure
from aula_common.mongo import mongo_errors

Document = dict[str, Any]
_OTHERS_CARRY_ON = timedelta(seconds=10)  # when whoever was asked seems to have gone


class ErasureRepository:
    """The collection `erasures`."""

    def __init__(self, collection: AsyncCollection[Document]) -> None:
        self._erasures = collection

    async def ask(self, user_id: str, at: datetime) -> Erasure:
        """Note that this person is to be erased, once; what is noted then."""
        noted: Document = {
            "askedAt": at,
            "erasedAt": None,
            "dueAt": at + _OTHERS_CARRY_ON,
            "sessionIds": [],
        }
        with suppress(DuplicateKeyError), mongo_errors():  # by somebody else, just now
            await self._erasures.update_one({"_id": user_id}, {"$setOnInsert": noted}, upsert=True)
        with mongo_errors():
            document = await self._erasures.find_one({"_id": user_id})
        assert document is not None  # noqa: S101 - nobody removes these
        return _to_erasure(document)

    async def exists(self, user_id: str) -> bool:
        """Whether this person is, or is to be, erased."""
        with mongo_errors():
            return await self._erasures.find_one({"_id": user_id}, {"_id": 1}) is not None

    async def add_sessions(self, user_id: str, session_ids: Sequence[str]) -> None:
        """Remember which sessions were this person's."""
        with mongo_errors():
            await self._erasures.update_one(
                {"_id": user_id}, {"$addToSet": {"sessionIds": {"$each": list(session_ids)}}}
            )

    async def finish(
        self, user_id: str, at: datetime, *, look_again_at: datetime | None
    ) -> Erasure:
        """Note that nothing was left; the first time counts. None: it is not looked at again."""
        with mongo_errors():
            await self._erasures.update_one(
                {"_id": user_id, "erasedAt": None}, {"$set": {"erasedAt": at}}
            )
            document = await self._erasures.find_one_and_update(
                {"_id": user_id},
                {"$set": {"dueAt": look_again_at}} if look_again_at else {"$unset": {"dueAt": 1}},
                return_document=ReturnDocument.AFTER,
            )
        assert document is not None  # noqa: S101 - nobody removes these
        return _to_erasure(document)

    async def take_due(self, at: datetime, *, look_again_at: datetime) -> Erasure | None:
        """One that is to be looked at by then, the longest waiting first; others do not get it."""
        with mongo_errors():
            document = await self._erasures.find_one_and_update(
                {"dueAt": {"$lte": at}},
                {"$set": {"dueAt": look_again_at}},
                sort=[("dueAt", ASCENDING)],
            )
        return _to_erasure(document) if document else None


def _to_erasure(document: Document) -> Erasure:
    return Erasure(
        user_id=document["_id"],
        asked_at=document["askedAt"],
        erased_at=document["erasedAt"],
        session_ids=tuple(document["sessionIds"]),
    )
