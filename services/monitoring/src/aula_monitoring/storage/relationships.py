"""Relationships in MongoDB."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import pymongo
from pymongo.errors import DuplicateKeyError

from aula_common.mongo import mongo_errors
from aula_monitoring.domain.errors import RelationshipExistsError
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.relationship import Mode, Relationship, RelationshipSearch, Status
from aula_monitoring.storage.database import Database
from aula_monitoring.storage.documents import RelationshipDocument

Query = dict[str, Any]


class RelationshipRepository:
    """Relationships by id, by person, by pair."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._relationships = database.collections[RelationshipDocument.Settings.name]

    async def add(self, relationship: Relationship) -> None:
        """Store it. RelationshipExistsError if the two have an active one."""
        self._database.require_prepared()
        with mongo_errors():
            try:
                await self._relationships.insert_one(_document(relationship))
            except DuplicateKeyError as error:
                raise RelationshipExistsError from error

    async def find(self, relationship_id: str) -> Relationship | None:
        """The relationship of that id."""
        with mongo_errors():
            return _optional(await self._relationships.find_one({"_id": relationship_id}))

    async def find_active(
        self, *, supervisor_id: str, student_id: str, at: datetime
    ) -> Relationship | None:
        """The one of these two that is valid at that moment."""
        query = {"supervisor_id": supervisor_id, "student_id": student_id, "status": Status.ACTIVE}
        with mongo_errors():
            found = _optional(await self._relationships.find_one(query))
        return found if found is not None and found.is_active(at) else None

    async def find_many(self, ids: Collection[str], *, within: float) -> Mapping[str, Relationship]:
        """Those that exist, by id. UnavailableError also after `within` seconds."""
        with mongo_errors(), pymongo.timeout(within):
            cursor = self._relationships.find({"_id": {"$in": list(ids)}})
            return {found["_id"]: _relationship(found) async for found in cursor}

    async def search(
        self, search: RelationshipSearch, *, offset: int, limit: int
    ) -> Slice[Relationship]:
        """Those that match, newest first."""
        query = _query(search)
        with mongo_errors():
            total = await self._relationships.count_documents(query)
            cursor = self._relationships.find(query).sort([("created_at", -1), ("_id", 1)])
            found = [_relationship(one) async for one in cursor.skip(offset).limit(limit)]
        return Slice(found, total)

    async def replace(self, relationship: Relationship, *, version: int) -> bool:
        """Store it in the place of that version; False if that is no longer the current one."""
        with mongo_errors():
            result = await self._relationships.replace_one(
                {"_id": relationship.id, "version": version}, _document(relationship)
            )
        return result.matched_count == 1

    async def end_expired(self, *, supervisor_id: str, student_id: str, at: datetime) -> None:
        """Mark as ended what ended by its time."""
        query = {
            "supervisor_id": supervisor_id,
            "student_id": student_id,
            "status": Status.ACTIVE,
            "valid_until": {"$lte": at},
        }
        change = {"$set": {"status": Status.ENDED, "updated_at": at}, "$inc": {"version": 1}}
        with mongo_errors():
            await self._relationships.update_many(query, change)

    async def remove(self, relationship_id: str) -> bool:
        """Delete it; False if there is none."""
        with mongo_errors():
            result = await self._relationships.delete_one({"_id": relationship_id})
        return result.deleted_count == 1


def _query(search: RelationshipSearch) -> Query:
    who = {"supervisor_id": search.supervisor_id, "student_id": search.student_id}
    conditions: list[Query] = [{name: value} for name, value in who.items() if value is not None]
    if search.involving is not None:
        sides = ("supervisor_id", "student_id")
        conditions.append({"$or": [{side: search.involving} for side in sides]})
    # what ended by its time is stored as active until somebody touches it
    if search.status is Status.ACTIVE:
        still = [{"valid_until": None}, {"valid_until": {"$gt": search.at}}]
        conditions += [{"status": Status.ACTIVE}, {"$or": still}]
    elif search.status is Status.ENDED:
        over = [{"status": Status.ENDED}, {"valid_until": {"$lte": search.at}}]
        conditions.append({"$or": over})
    if search.valid:
        conditions.append({"valid_from": {"$lte": search.at}})
    return {"$and": conditions} if conditions else {}


def _document(relationship: Relationship) -> dict[str, Any]:
    return {
        "_id": relationship.id,
        "supervisor_id": relationship.supervisor_id,
        "student_id": relationship.student_id,
        "mode": relationship.mode,
        "status": relationship.status,
        "valid_from": relationship.valid_from,
        "valid_until": relationship.valid_until,
        "created_at": relationship.created_at,
        "updated_at": relationship.updated_at,
        "version": relationship.version,
    }


def _optional(found: Mapping[str, Any] | None) -> Relationship | None:
    return _relationship(found) if found else None


def _relationship(found: Mapping[str, Any]) -> Relationship:
    return Relationship(
        id=found["_id"],
        supervisor_id=found["supervisor_id"],
        student_id=found["student_id"],
        mode=Mode(found["mode"]),
        status=Status(found["status"]),
        valid_from=found["valid_from"],
        valid_until=found["valid_until"],
        created_at=found["created_at"],
        updated_at=found["updated_at"],
        version=found["version"],
    )
