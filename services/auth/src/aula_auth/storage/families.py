"""Refresh-token families in MongoDB."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from aula_auth.domain.family import Device, EndReason, Family, Spent
from aula_auth.domain.page import Slice
from aula_auth.storage.database import Database
from aula_auth.storage.documents import FamilyDocument
from aula_common.mongo import mongo_errors


class FamilyRepository:
    """Sign-ins.

    `keep` is how long one stays after its end, for verifiers to learn of it.
    """

    def __init__(self, database: Database, *, keep: timedelta) -> None:
        self._families = database[FamilyDocument.Settings.name]
        self._keep = keep

    async def add(self, family: Family) -> None:
        """Store a new family."""
        document = {
            "_id": family.id,
            "user_id": family.user_id,
            "user_agent": family.device.user_agent,
            "address": family.device.address,
            "created_at": family.created_at,
            "last_used_at": family.last_used_at,
            "expires_at": family.expires_at,
            "absolute_expires_at": family.absolute_expires_at,
            "purge_at": family.expires_at + self._keep,
            "generation": family.generation,
            "digest": family.digest,
            "ended_at": None,
        }
        with mongo_errors():
            await self._families.insert_one(document)

    async def find(self, family_id: str) -> Family | None:
        """The family of that id."""
        with mongo_errors():
            found = await self._families.find_one({"_id": family_id})
        return _family(found) if found else None

    async def rotate(
        self,
        family_id: str,
        *,
        generation: int,
        digest: bytes,
        spent: Spent,
        expires_at: datetime,
    ) -> Family | None:
        """Put the next token in the place of the one just spent, if that is still the live one.

        One conditional write: of any number at once, one has the family back, the rest None.
        """
        live = {
            "_id": family_id,
            "ended_at": None,
            "digest": spent.digest,
            "generation": generation - 1,
            "expires_at": {"$gt": spent.at},
        }
        change = {
            "generation": generation,
            "digest": digest,
            "spent": {"digest": spent.digest, "at": spent.at, "sealed_child": spent.sealed_child},
            "last_used_at": spent.at,
            "expires_at": expires_at,
            "purge_at": expires_at + self._keep,
        }
        with mongo_errors():
            found = await self._families.find_one_and_update(
                live, {"$set": change}, return_document=ReturnDocument.AFTER
            )
        return _family(found) if found else None

    async def list_live(
        self, user_id: str, *, now: datetime, since: datetime | None, offset: int, limit: int
    ) -> Slice[Family]:
        """The user's live families that began after `since`, latest used first."""
        query: dict[str, Any] = {"user_id": user_id, "ended_at": None, "expires_at": {"$gt": now}}
        if since is not None:
            query["created_at"] = {"$gt": since}
        with mongo_errors():
            total = await self._families.count_documents(query)
            cursor = self._families.find(query).sort([("last_used_at", -1), ("_id", 1)])
            return Slice(
                [_family(found) async for found in cursor.skip(offset).limit(limit)], total
            )

    async def end(self, family_id: str, *, user_id: str, at: datetime, reason: EndReason) -> bool:
        """End a family of that user; False if it is not a live one of theirs."""
        live = {"_id": family_id, "user_id": user_id, "ended_at": None, "expires_at": {"$gt": at}}
        with mongo_errors():
            result = await self._families.update_one(live, self._ended(at, reason))
        return result.matched_count == 1

    async def end_all(
        self, user_id: str, *, at: datetime, reason: EndReason, but: str | None = None
    ) -> int:
        """End the user's families (but for one); how many there were."""
        live: dict[str, Any] = {"user_id": user_id, "ended_at": None}
        if but is not None:
            live["_id"] = {"$ne": but}
        with mongo_errors():
            result = await self._families.update_many(live, self._ended(at, reason))
        return result.matched_count

    def _ended(self, at: datetime, reason: EndReason) -> dict[str, Any]:
        return {
            "$set": {"ended_at": at, "end_reason": reason, "purge_at": at + self._keep},
            "$unset": {"spent": ""},
        }


def _family(found: Mapping[str, Any]) -> Family:
    spent = found.get("spent")
    reason = found.get("end_reason")
    return Family(
        id=found["_id"],
        user_id=found["user_id"],
        device=Device(user_agent=found.get("user_agent"), address=found.get("address")),
        created_at=found["created_at"],
        last_used_at=found["last_used_at"],
        expires_at=found["expires_at"],
        absolute_expires_at=found["absolute_expires_at"],
        generation=found["generation"],
        digest=bytes(found["digest"]),
        spent=Spent(
            digest=bytes(spent["digest"]),
            at=spent["at"],
            sealed_child=bytes(spent["sealed_child"]),
        )
        if spent
        else None,
        ended_at=found.get("ended_at"),
        end_reason=EndReason(reason) if reason else None,
    )
