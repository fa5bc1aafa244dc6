"""The audit in MongoDB."""

from datetime import timedelta
from typing import Any

from aula_auth.domain.audit import AuditEvent, AuditKind, AuditSearch
from aula_auth.domain.page import Slice
from aula_auth.storage.database import Database
from aula_auth.storage.documents import AuditDocument
from aula_common.mongo import mongo_errors


class AuditRepository:
    """The audit; entries are kept for `keep`."""

    def __init__(self, database: Database, *, keep: timedelta) -> None:
        self._events = database[AuditDocument.Settings.name]
        self._keep = keep

    async def add(self, event: AuditEvent) -> None:
        """Append an entry."""
        document = {
            "_id": event.id,
            "at": event.at,
            "kind": event.kind,
            "actor_id": event.actor_id,
            "user_id": event.user_id,
            "address": event.address,
            "details": dict(event.details),
            "purge_at": event.at + self._keep,
        }
        with mongo_errors():
            await self._events.insert_one(document)

    async def search(self, search: AuditSearch, *, offset: int, limit: int) -> Slice[AuditEvent]:
        """The entries that match, newest first."""
        wanted = {"kind": search.kind, "actor_id": search.actor_id, "user_id": search.user_id}
        query: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        with mongo_errors():
            total = await self._events.count_documents(query)
            cursor = self._events.find(query).sort([("at", -1), ("_id", 1)])
            events = [_event(found) async for found in cursor.skip(offset).limit(limit)]
        return Slice(events, total)


def _event(found: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        id=found["_id"],
        at=found["at"],
        kind=AuditKind(found["kind"]),
        actor_id=found["actor_id"],
        user_id=found["user_id"],
        address=found["address"],
        details=found["details"],
    )
