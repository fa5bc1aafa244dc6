"""The audit in MongoDB."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aula_common.mongo import mongo_errors
from aula_common.security.principal import Role
from aula_monitoring.domain.audit import AuditEntry, AuditKind, AuditSearch
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.relationship import Mode
from aula_monitoring.storage.database import Database
from aula_monitoring.storage.documents import AuditDocument


class AuditRepository:
    """Entries are added; of what is stored only a missing end is ever set."""

    def __init__(self, database: Database) -> None:
        self._entries = database.collections[AuditDocument.Settings.name]

    async def add(self, entry: AuditEntry) -> None:
        """Store it, acknowledged by a majority (the client's own write concern)."""
        document = {
            "_id": entry.id,
            "at": entry.at,
            "observer_id": entry.observer_id,
            "observer_role": entry.observer_role,
            "kind": entry.kind,
            "student_id": entry.student_id,
            "session_id": entry.session_id,
            "mode": entry.mode,
            "ended_at": entry.ended_at,
            "reason": entry.reason,
        }
        with mongo_errors():
            await self._entries.insert_one(document)

    async def end(self, entry_id: str, *, at: datetime, reason: str) -> None:
        """Set the end, unless it is set."""
        with mongo_errors():
            await self._entries.update_one(
                {"_id": entry_id, "ended_at": None}, {"$set": {"ended_at": at, "reason": reason}}
            )

    async def search(self, search: AuditSearch, *, offset: int, limit: int) -> Slice[AuditEntry]:
        """The entries that match, newest first."""
        wanted = {
            "observer_id": search.observer_id,
            "student_id": search.student_id,
            "session_id": search.session_id,
            "kind": search.kind,
        }
        query = {name: value for name, value in wanted.items() if value is not None}
        with mongo_errors():
            total = await self._entries.count_documents(query)
            cursor = self._entries.find(query).sort([("at", -1), ("_id", 1)])
            entries = [_entry(found) async for found in cursor.skip(offset).limit(limit)]
        return Slice(entries, total)


def _entry(found: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=found["_id"],
        at=found["at"],
        observer_id=found["observer_id"],
        observer_role=Role(found["observer_role"]),
        kind=AuditKind(found["kind"]),
        student_id=found["student_id"],
        session_id=found["session_id"],
        mode=Mode(found["mode"]) if found["mode"] else None,
        ended_at=found["ended_at"],
        reason=found["reason"],
    )
