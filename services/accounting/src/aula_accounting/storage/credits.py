"""Accounts and allocations. Every writer locks the account first, accounts in id order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.credits import LARGEST_BALANCE, Allocation, Balance, Grant, Hold
from aula_accounting.domain.ledger import EntryKind
from aula_accounting.storage.tables import accounts, allocations, ledger_entries, reservations
from aula_common.ids import new_id

_FIELDS = [column for column in allocations.columns if column.name != "closed"]


class CreditStore:
    """A CreditRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def balance(self, user_id: str, *, at: datetime) -> Balance:
        """What the user has at that moment; nothing, if the user was never given anything."""
        rows = await self._connection.execute(
            sa.select(*_FIELDS)
            .where(allocations.c.user_id == user_id, ~allocations.c.closed)
            .order_by(
                allocations.c.expires_at.asc().nulls_last(),
                allocations.c.created_at,
                allocations.c.id,
            )
        )
        found = [to_allocation(row) for row in rows.mappings()]
        return Balance(
            user_id=user_id,
            available=sum(a.remaining for a in found if not a.expires_at or a.expires_at > at),
            holds=await self._holds(user_id),
            allocations=tuple(found),
        )

    async def _holds(self, user_id: str) -> tuple[Hold, ...]:
        rows = await self._connection.execute(
            sa.select(
                reservations.c.session_id,
                reservations.c.reserved.label("amount"),
                reservations.c.started_at.label("since"),
                reservations.c.chat_session_id,
            )
            .where(reservations.c.user_id == user_id, reservations.c.status == "active")
            .order_by(reservations.c.started_at, reservations.c.session_id)
        )
        return tuple(Hold(**row) for row in rows.mappings())

    async def available(self, user_id: str, *, at: datetime) -> int:
        """What the user could spend at that moment."""
        total = await self._connection.scalar(
            sa.select(sa.func.coalesce(sa.func.sum(allocations.c.remaining), 0)).where(
                allocations.c.user_id == user_id,
                ~allocations.c.closed,
                sa.or_(allocations.c.expires_at.is_(None), allocations.c.expires_at > at),
            )
        )
        return int(total or 0)

    async def allocate(
        self, grant: Grant, *, actor_id: str, at: datetime
    ) -> Sequence[Allocation] | None:
        """Give each user the credits; None, and nothing is written, if a balance can't hold it."""
        users = sorted(grant.user_ids)
        await self._connection.execute(
            insert(accounts).on_conflict_do_nothing(),
            [{"user_id": u, "remaining": 0, "held": 0, "created_at": at} for u in users],
        )
        locked = await self._lock(users)
        if any(balance + grant.credits > LARGEST_BALANCE for balance in locked.values()):
            return None
        new = {user: _new_allocation(user, grant, actor_id=actor_id, at=at) for user in users}
        await self._connection.execute(sa.insert(allocations), list(new.values()))
        await self._connection.execute(
            sa.update(accounts)
            .where(accounts.c.user_id.in_(users))
            .values(remaining=accounts.c.remaining + grant.credits)
        )
        await self._enter(
            EntryKind.ALLOCATE,
            [(user, row["id"], grant.credits) for user, row in new.items()],
            actor_id=actor_id,
            at=at,
        )
        return [to_allocation(new[user]) for user in grant.user_ids]

    async def find_allocation(self, allocation_id: str) -> Allocation | None:
        """The allocation of that id, as it was when last committed."""
        rows = await self._connection.execute(
            sa.select(*_FIELDS).where(allocations.c.id == allocation_id)
        )
        row = rows.mappings().one_or_none()
        return to_allocation(row) if row is not None else None

    async def revoke(
        self, allocation: Allocation, *, actor_id: str, at: datetime
    ) -> Allocation | None:
        """Take back what is left, whatever it is by now; what is held stays until settled."""
        await self._lock([allocation.user_id])
        rows = await self._connection.execute(
            sa.update(allocations)
            .where(
                allocations.c.user_id == allocation.user_id,
                allocations.c.id == allocation.id,
                allocations.c.revoked_at.is_(None),
            )
            .values(revoked=allocations.c.remaining, remaining=0, revoked_at=at)
            .returning(*_FIELDS)
        )
        row = rows.mappings().one_or_none()
        if row is None:
            return None
        if row["revoked"]:
            moved = [(allocation.user_id, allocation.id, row["revoked"])]
            await self._withdraw(EntryKind.REVOKE, moved, actor_id=actor_id, at=at)
        return to_allocation(row)

    async def list_allocations(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Allocation], int]:
        """Allocations of a user or of all, the newest first, and how many there are."""
        where = allocations.c.user_id == user_id if user_id is not None else sa.true()
        total = await self._connection.scalar(
            sa.select(sa.func.count()).select_from(allocations).where(where)
        )
        rows = await self._connection.execute(
            sa.select(*_FIELDS)
            .where(where)
            .order_by(allocations.c.created_at.desc(), allocations.c.id)
            .offset(offset)
            .limit(limit)
        )
        return [to_allocation(row) for row in rows.mappings()], total or 0

    async def expire(self, *, at: datetime, limit: int, actor_id: str) -> int:
        """Write off what is left in expired allocations, but those of accounts locked by others."""
        due = (
            sa.select(allocations.c.user_id, allocations.c.id)
            .where(
                ~allocations.c.closed,
                allocations.c.expires_at <= at,
                allocations.c.remaining > 0,
            )
            .order_by(allocations.c.expires_at)
            .limit(limit)
            .subquery()
        )
        claimed = await self._connection.execute(
            sa.select(due.c.user_id, due.c.id)
            .join(accounts, accounts.c.user_id == due.c.user_id)
            .order_by(accounts.c.user_id)
            .with_for_update(of=accounts, skip_locked=True)
        )
        keys = [(row.user_id, row.id) for row in claimed]
        if not keys:
            return 0
        # Read again under the lock: a settlement may have changed them meanwhile.
        rows = await self._connection.execute(
            sa.select(allocations.c.user_id, allocations.c.id, allocations.c.remaining).where(
                sa.tuple_(allocations.c.user_id, allocations.c.id).in_(keys),
                allocations.c.remaining > 0,
            )
        )
        moved = [(row.user_id, row.id, row.remaining) for row in rows]
        if not moved:
            return 0
        await self._connection.execute(
            sa.update(allocations)
            .where(sa.tuple_(allocations.c.user_id, allocations.c.id).in_(keys))
            .values(lapsed=allocations.c.lapsed + allocations.c.remaining, remaining=0)
        )
        await self._withdraw(EntryKind.EXPIRE, moved, actor_id=actor_id, at=at)
        return len(moved)

    async def _lock(self, user_ids: Sequence[str]) -> dict[str, int]:
        rows = await self._connection.execute(
            sa.select(accounts.c.user_id, (accounts.c.remaining + accounts.c.held).label("total"))
            .where(accounts.c.user_id.in_(user_ids))
            .order_by(accounts.c.user_id)
            .with_for_update()
        )
        return {row.user_id: row.total for row in rows}

    async def _withdraw(
        self,
        kind: EntryKind,
        moved: Sequence[tuple[str, str, int]],
        *,
        actor_id: str,
        at: datetime,
    ) -> None:
        """Take amounts that left allocations out of their accounts too, and enter them."""
        sums: dict[str, int] = {}
        for user_id, _, amount in moved:
            sums[user_id] = sums.get(user_id, 0) + amount
        await self._connection.execute(
            sa.update(accounts)
            .where(accounts.c.user_id == sa.bindparam("of_user"))
            .values(remaining=accounts.c.remaining - sa.bindparam("amount", type_=sa.BigInteger)),
            [{"of_user": user_id, "amount": amount} for user_id, amount in sums.items()],
        )
        await self._enter(kind, moved, actor_id=actor_id, at=at)

    async def _enter(
        self,
        kind: EntryKind,
        moved: Sequence[tuple[str, str, int]],
        *,
        actor_id: str,
        at: datetime,
    ) -> None:
        await self._connection.execute(
            sa.insert(ledger_entries),
            [
                {
                    "user_id": user_id,
                    "kind": kind.value,
                    "amount": amount,
                    "allocation_id": allocation_id,
                    "actor_id": actor_id,
                    "recorded_at": at,
                }
                for user_id, allocation_id, amount in moved
            ],
        )


def _new_allocation(user_id: str, grant: Grant, *, actor_id: str, at: datetime) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "id": new_id("alc"),
        "granted": grant.credits,
        "remaining": grant.credits,
        "held": 0,
        "charged": 0,
        "lapsed": 0,
        "revoked": 0,
        "expires_at": grant.expires_at,
        "revoked_at": None,
        "created_at": at,
        "created_by": actor_id,
        "note": grant.note,
    }


def to_allocation(row: Mapping[Any, Any]) -> Allocation:
    """The allocation in a row of its table."""
    return Allocation(**{column.name: row[column.name] for column in _FIELDS})
