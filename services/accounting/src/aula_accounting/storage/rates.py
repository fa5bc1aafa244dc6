"""Rates with their start times."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.rates import Rate
from aula_accounting.storage.tables import rates

_FIELDS = (rates.c.model_id, rates.c.input_rate, rates.c.output_rate, rates.c.starts_at)


class RateStore:
    """A RateRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def current(self, *, at: datetime, model_id: str | None = None) -> Sequence[Rate]:
        """The rate of each model at that moment, by model id."""
        newest = distinct_on(rates.c.model_id)
        query = sa.select(*_FIELDS).where(rates.c.starts_at <= at).ext(newest)
        if model_id is not None:
            query = query.where(rates.c.model_id == model_id)
        rows = await self._connection.execute(
            query.order_by(rates.c.model_id, rates.c.starts_at.desc())
        )
        return [_to_rate(row) for row in rows.mappings()]

    async def history(self, *, model_id: str | None = None) -> Sequence[Rate]:
        """Every rate, those that are still to come too, by model id, the newest first."""
        query = sa.select(*_FIELDS).order_by(rates.c.model_id, rates.c.starts_at.desc())
        if model_id is not None:
            query = query.where(rates.c.model_id == model_id)
        rows = await self._connection.execute(query)
        return [_to_rate(row) for row in rows.mappings()]

    async def put(self, new: Sequence[Rate], *, actor_id: str, at: datetime) -> None:
        """Add rates; one that starts at the same moment for the same model is replaced."""
        statement = insert(rates)
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[rates.c.model_id, rates.c.starts_at],
                set_={
                    name: statement.excluded[name]
                    for name in ("input_rate", "output_rate", "created_by", "created_at")
                },
            ),
            [
                {
                    "model_id": rate.model_id,
                    "starts_at": rate.starts_at,
                    "input_rate": rate.input_rate,
                    "output_rate": rate.output_rate,
                    "created_by": actor_id,
                    "created_at": at,
                }
                for rate in new
            ],
        )


def _to_rate(row: Mapping[Any, Any]) -> Rate:
    return Rate(
        model_id=row["model_id"],
        input_rate=row["input_rate"],
        output_rate=row["output_rate"],
        starts_at=row["starts_at"],
    )
