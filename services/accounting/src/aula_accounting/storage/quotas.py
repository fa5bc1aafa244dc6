"""Quotas and what was used of them. Counting happens under the account's lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.quotas import (
    Quota,
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaPeriod,
    QuotaScope,
    QuotaStanding,
)
from aula_accounting.storage.tables import accounts, quotas

_HOLDER = (
    sa.bindparam("holder", type_=sa.Text),
    sa.bindparam("tier", type_=sa.Text),
    sa.bindparam("teams", type_=ARRAY(sa.Text)),
    sa.bindparam("moment", type_=sa.DateTime(timezone=True)),
)
_STANDING = sa.text(
    """
    SELECT metric, period, quantity AS "limit", used, CAST(:moment AS timestamptz) AS moment
    FROM quota_standing(:holder, :tier, :teams, :moment) ORDER BY metric, period
    """
).bindparams(*_HOLDER)
_EXCEEDED = (
    sa.text("SELECT exceeded_quota(:holder, :tier, :teams, :moment, :wanted) AS exceeded")
    .bindparams(*_HOLDER, sa.bindparam("wanted", type_=JSONB))
    .columns(exceeded=JSONB)
)
_COUNT = sa.text("SELECT count_quota(:holder, :tier, :teams, :moment, :amounts)").bindparams(
    *_HOLDER, sa.bindparam("amounts", type_=JSONB)
)


class QuotaStore:
    """A QuotaRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_quotas(
        self, holder: QuotaHolder | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Quota], int]:
        """The quotas that apply to somebody, or all, in the order of their keys; how many."""
        where = _applies(holder) if holder is not None else sa.true()
        total = await self._connection.scalar(
            sa.select(sa.func.count()).select_from(quotas).where(where)
        )
        rows = await self._connection.execute(
            sa.select(quotas)
            .where(where)
            .order_by(quotas.c.scope, quotas.c.subject_id, quotas.c.metric, quotas.c.period)
            .offset(offset)
            .limit(limit)
        )
        return [_to_quota(row) for row in rows.mappings()], total or 0

    async def put(self, new: Sequence[Quota], *, actor_id: str, at: datetime) -> None:
        """Set quotas, each in the place of the one with its key."""
        statement = insert(quotas)
        changed = ("quantity", "updated_by", "updated_at")
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=list(quotas.primary_key),
                set_={name: statement.excluded[name] for name in changed},
            ),
            sorted(
                (
                    {
                        **_key_fields(quota.key),
                        "quantity": quota.quantity,
                        "updated_by": actor_id,
                        "updated_at": at,
                    }
                    for quota in new
                ),
                key=lambda row: [str(value) for value in row.values()],
            ),
        )

    async def remove(self, keys: Sequence[QuotaKey]) -> None:
        """Remove the quotas of these keys, those that are there."""
        key_columns = (quotas.c.scope, quotas.c.subject_id, quotas.c.metric, quotas.c.period)
        await self._connection.execute(
            sa.delete(quotas).where(
                sa.tuple_(*key_columns).in_([tuple(_key_fields(key).values()) for key in keys])
            )
        )

    async def standing(self, holder: QuotaHolder, *, at: datetime) -> Sequence[QuotaStanding]:
        """How far the tightest quotas of somebody are used."""
        rows = await self._connection.execute(_STANDING, _parameters(holder, at=at))
        return [to_standing(row) for row in rows.mappings()]

    async def consume(
        self, holder: QuotaHolder, amounts: Mapping[QuotaMetric, int], *, at: datetime
    ) -> QuotaStanding | None:
        """Count the amounts, all or none; the quota that leaves no room, if one does."""
        await self._lock(holder.user_id, at=at)
        wanted = {metric.value: amount for metric, amount in amounts.items()}
        exceeded = await self._connection.scalar(
            _EXCEEDED, {**_parameters(holder, at=at), "wanted": wanted}
        )
        if exceeded:
            return to_standing(exceeded)
        if exceeded is not None:
            await self._connection.execute(
                _COUNT, {**_parameters(holder, at=at), "amounts": wanted}
            )
        return None

    async def _lock(self, user_id: str, *, at: datetime) -> None:
        account = {"user_id": user_id, "remaining": 0, "held": 0, "created_at": at}
        await self._connection.execute(insert(accounts).values(**account).on_conflict_do_nothing())
        await self._connection.execute(
            sa.select(accounts.c.user_id).where(accounts.c.user_id == user_id).with_for_update()
        )


def to_standing(found: Mapping[Any, Any]) -> QuotaStanding:
    """The standing in a row of `quota_standing`, or in the answer of `exceeded_quota`."""
    at = found["moment"]
    return QuotaStanding(
        metric=QuotaMetric(found["metric"]),
        period=QuotaPeriod(found["period"]),
        quantity=found["limit"],
        used=found["used"],
        at=datetime.fromisoformat(at) if isinstance(at, str) else at,
    )


def _applies(holder: QuotaHolder) -> sa.ColumnElement[bool]:
    applying = [
        (QuotaScope.USER, [holder.user_id]),
        (QuotaScope.TIER, [holder.tier] if holder.tier else []),
        (QuotaScope.TEAM, list(holder.team_ids)),
    ]
    return sa.or_(
        *(
            sa.and_(quotas.c.scope == scope.value, quotas.c.subject_id.in_(subjects))
            for scope, subjects in applying
        )
    )


def _parameters(holder: QuotaHolder, *, at: datetime) -> dict[str, Any]:
    return {
        "holder": holder.user_id,
        "tier": holder.tier,
        "teams": list(holder.team_ids),
        "moment": at,
    }


def _key_fields(key: QuotaKey) -> dict[str, str]:
    return {
        "scope": key.scope.value,
        "subject_id": key.subject_id,
        "metric": key.metric.value,
        "period": key.period.value,
    }


def _to_quota(row: Mapping[Any, Any]) -> Quota:
    key = QuotaKey(
        scope=QuotaScope(row["scope"]),
        subject_id=row["subject_id"],
        metric=QuotaMetric(row["metric"]),
        period=QuotaPeriod(row["period"]),
    )
    return Quota(key=key, quantity=row["quantity"])
