"""The ledger, read. It is written by the movements themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.ledger import EntryKind, LedgerEntry
from aula_accounting.storage.tables import ledger_entries


class LedgerStore:
    """A LedgerRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_of_user(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[LedgerEntry], int]:
        """Entries of a user or of all, the newest first, and how many there are."""
        where = ledger_entries.c.user_id == user_id if user_id is not None else sa.true()
        total = await self._connection.scalar(
            sa.select(sa.func.count()).select_from(ledger_entries).where(where)
        )
        rows = await self._connection.execute(
            sa.select(ledger_entries)
            .where(where)
            .order_by(ledger_entries.c.id.desc())
            .offset(offset)
            .limit(limit)
        )
        return [_to_entry(row) for row in rows.mappings()], total or 0

    async def list_of_session(self, user_id: str, session_id: str) -> Sequence[LedgerEntry]:
        """Entries of one streaming session, the oldest first."""
        rows = await self._connection.execute(
            sa.select(ledger_entries)
            .where(ledger_entries.c.user_id == user_id, ledger_entries.c.session_id == session_id)
            .order_by(ledger_entries.c.id)
        )
        return [_to_entry(row) for row in rows.mappings()]


def _to_entry(row: Mapping[Any, Any]) -> LedgerEntry:
    return LedgerEntry(**{**row, "kind": EntryKind(row["kind"])})
