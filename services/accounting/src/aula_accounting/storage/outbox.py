"""News that waits for its publication, stored in the transaction that it tells of."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.news import News, NewsType, PendingNews
from aula_accounting.storage.tables import outbox

# One publisher at a time: two could overtake one another with news of one user.
_LEAD = sa.text("SELECT pg_try_advisory_xact_lock(7205759404)")


class OutboxStore:
    """An OutboxRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, news: Sequence[News]) -> None:
        """Store news; under its user's lock its order is that of the commits."""
        await self._connection.execute(
            sa.insert(outbox),
            [
                {
                    "user_id": one.user_id,
                    "team_id": one.team_id,
                    "type": one.type.value,
                    "at": one.at,
                    "data": dict(one.data),
                }
                for one in news
            ],
        )

    async def claim(self, *, limit: int) -> Sequence[PendingNews]:
        """The oldest news, for this transaction alone; none while another publishes."""
        if not await self._connection.scalar(_LEAD):
            return []
        rows = await self._connection.execute(sa.select(outbox).order_by(outbox.c.id).limit(limit))
        return [
            PendingNews(
                id=row.id,
                news=News(
                    type=NewsType(row.type),
                    at=row.at,
                    user_id=row.user_id,
                    team_id=row.team_id,
                    data=row.data,
                ),
            )
            for row in rows
        ]

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget what was published. By id: lower ones may be committed later than these."""
        await self._connection.execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))

    async def forget_before(self, moment: datetime) -> int:
        """Drop news of before the moment; how many there were."""
        result = await self._connection.execute(sa.delete(outbox).where(outbox.c.at < moment))
        return result.rowcount
