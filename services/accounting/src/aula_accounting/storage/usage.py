"""Usage: settled reservations, one by one or summed up."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.streaming import Reservation
from aula_accounting.domain.usage import UsageFilter, UsageGroup, UsageGrouping
from aula_accounting.storage.streaming import to_reservation
from aula_accounting.storage.tables import reservations

_DAY = sa.func.to_char(sa.func.timezone("UTC", reservations.c.settled_at), "YYYY-MM-DD")
_KEYS: dict[UsageGrouping, sa.ColumnElement[str]] = {
    UsageGrouping.DAY: _DAY,
    UsageGrouping.MODEL: reservations.c.answered_model_id,
    UsageGrouping.SERVICE: reservations.c.service_id,
    UsageGrouping.USER: reservations.c.user_id,
}


class UsageStore:
    """A UsageRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_settled(
        self, which: UsageFilter, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]:
        """Settled reservations, the newest first, and how many there are."""
        where = _where(which)
        total = await self._connection.scalar(
            sa.select(sa.func.count()).select_from(reservations).where(where)
        )
        rows = await self._connection.execute(
            sa.select(reservations)
            .where(where)
            .order_by(reservations.c.settled_at.desc(), reservations.c.session_id)
            .offset(offset)
            .limit(limit)
        )
        return [to_reservation(row) for row in rows.mappings()], total or 0

    async def summarize(
        self, which: UsageFilter, *, by: UsageGrouping, offset: int, limit: int
    ) -> tuple[Sequence[UsageGroup], int]:
        """Usage by one key, the newest days first, else the dearest first; how many groups."""
        key = _KEYS[by].label("key")
        credits_sum = _sum(reservations.c.charged).label("credits")
        keys = sa.select(key).where(_where(which)).distinct().subquery()
        total = await self._connection.scalar(sa.select(sa.func.count()).select_from(keys))
        order = key.desc() if by is UsageGrouping.DAY else credits_sum.desc()
        rows = await self._connection.execute(
            sa.select(
                key,
                sa.func.count().label("streams"),
                _sum(reservations.c.used_input_tokens).label("input_tokens"),
                _sum(reservations.c.used_output_tokens).label("output_tokens"),
                _sum(reservations.c.used_unsplit_tokens).label("unsplit_tokens"),
                credits_sum,
                _sum(reservations.c.overrun).label("overrun"),
            )
            .where(_where(which))
            .group_by(key)
            .order_by(order, key)
            .offset(offset)
            .limit(limit)
        )
        return [UsageGroup(**row) for row in rows.mappings()], total or 0


def _sum(column: sa.ColumnElement[int | None]) -> sa.ColumnElement[int]:
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)


def _where(which: UsageFilter) -> sa.ColumnElement[bool]:
    conditions = [reservations.c.settled_at.is_not(None), ~reservations.c.tombstone]
    if which.user_id is not None:
        conditions.append(reservations.c.user_id == which.user_id)
    if which.since is not None:
        conditions.append(reservations.c.settled_at >= which.since)
    if which.until is not None:
        conditions.append(reservations.c.settled_at < which.until)
    return sa.and_(*conditions)
