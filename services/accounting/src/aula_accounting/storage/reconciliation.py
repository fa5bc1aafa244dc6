"""Compares every stored balance with the replayed ledger, on one snapshot."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.reconciliation import Discrepancy, Reconciliation, Totals

_MOST = 100  # discrepancies that one comparison names

_SNAPSHOT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

_TOTALS = sa.text(
    """
    SELECT (SELECT count(*) FROM accounts) AS accounts,
           (SELECT count(*) FROM reservations) AS reservations,
           (SELECT count(*) FROM ledger_entries) AS entries,
           count(*) AS allocations,
           coalesce(sum(granted), 0)::bigint AS granted,
           coalesce(sum(remaining), 0)::bigint AS remaining,
           coalesce(sum(held), 0)::bigint AS held,
           coalesce(sum(charged), 0)::bigint AS charged,
           coalesce(sum(lapsed), 0)::bigint AS lapsed,
           coalesce(sum(revoked), 0)::bigint AS revoked
    FROM allocations
    """
)

_ALLOCATIONS = """
    WITH replayed AS (
        SELECT user_id, allocation_id AS id,
            sum(CASE kind WHEN 'allocate' THEN amount ELSE 0 END) AS granted,
            sum(CASE WHEN kind IN ('allocate', 'refund') THEN amount
                     WHEN kind IN ('hold', 'expire', 'revoke') THEN -amount ELSE 0 END)
                AS remaining,
            sum(CASE WHEN kind = 'hold' THEN amount
                     WHEN kind IN ('charge', 'refund', 'lapse') THEN -amount ELSE 0 END) AS held,
            sum(CASE kind WHEN 'charge' THEN amount ELSE 0 END) AS charged,
            sum(CASE WHEN kind IN ('lapse', 'expire') THEN amount ELSE 0 END) AS lapsed,
            sum(CASE kind WHEN 'revoke' THEN amount ELSE 0 END) AS revoked
        FROM ledger_entries WHERE allocation_id IS NOT NULL GROUP BY user_id, allocation_id
    )
    SELECT 'allocation.' || v.name AS field, user_id, id AS allocation_id,
           NULL AS session_id, v.expected, v.actual
    FROM allocations a FULL JOIN replayed l USING (user_id, id)
    CROSS JOIN LATERAL (VALUES
        ('granted', l.granted, a.granted), ('remaining', l.remaining, a.remaining),
        ('held', l.held, a.held), ('charged', l.charged, a.charged),
        ('lapsed', l.lapsed, a.lapsed), ('revoked', l.revoked, a.revoked)
    ) AS v(name, expected, actual)
"""

_HOLDS = """
    WITH held AS (
        SELECT r.user_id, s.id, sum(s.amount) AS amount
        FROM reservations r
        CROSS JOIN LATERAL unnest(r.source_ids, r.source_amounts) AS s(id, amount)
        WHERE r.status = 'active' GROUP BY r.user_id, s.id
    )
    SELECT 'allocation.heldByStreams' AS field, user_id, id AS allocation_id,
           NULL AS session_id, v.expected, v.actual
    FROM allocations a FULL JOIN held h USING (user_id, id)
    CROSS JOIN LATERAL (VALUES (h.amount, a.held)) AS v(expected, actual)
"""

_ACCOUNTS = """
    WITH summed AS (
        SELECT user_id, sum(remaining) AS remaining, sum(held) AS held
        FROM allocations GROUP BY user_id
    )
    SELECT 'account.' || v.name AS field, user_id, NULL AS allocation_id,
           NULL AS session_id, v.expected, v.actual
    FROM accounts a FULL JOIN summed s USING (user_id)
    CROSS JOIN LATERAL (VALUES
        ('remaining', s.remaining, a.remaining), ('held', s.held, a.held)
    ) AS v(name, expected, actual)
"""

_RESERVATIONS = """
    WITH entered AS (
        SELECT user_id, session_id,
            sum(CASE kind WHEN 'hold' THEN amount ELSE 0 END) AS reserved,
            sum(CASE kind WHEN 'charge' THEN amount ELSE 0 END) AS charged,
            sum(CASE kind WHEN 'refund' THEN amount ELSE 0 END) AS refunded,
            sum(CASE kind WHEN 'lapse' THEN amount ELSE 0 END) AS lapsed,
            sum(CASE kind WHEN 'settle' THEN amount ELSE 0 END) AS settled,
            count(*) FILTER (WHERE kind = 'settle') AS settlements
        FROM ledger_entries WHERE session_id IS NOT NULL GROUP BY user_id, session_id
    )
    SELECT 'reservation.' || v.name AS field, user_id, NULL AS allocation_id,
           session_id, v.expected, v.actual
    FROM reservations r FULL JOIN entered e USING (user_id, session_id)
    CROSS JOIN LATERAL (VALUES
        ('reserved', e.reserved, r.reserved),
        ('sources', e.reserved, (SELECT sum(amount) FROM unnest(r.source_amounts) AS s(amount))),
        ('charged', e.charged, r.charged), ('settled', e.settled, r.charged),
        ('refunded', e.refunded, r.reserved - r.charged - r.lapsed),
        ('lapsed', e.lapsed, r.lapsed),
        ('settlements', e.settlements, CASE r.status WHEN 'active' THEN 0 ELSE 1 END)
    ) AS v(name, expected, actual)
"""

_OVERDUE = """
    SELECT 'reservation.overdue' AS field, r.user_id, NULL AS allocation_id,
           r.session_id, v.expected, v.actual
    FROM reservations r CROSS JOIN LATERAL (VALUES (0, r.reserved)) AS v(expected, actual)
    WHERE r.status = 'active' AND r.lease_expires_at < :overdue_before AND r.reserved > 0
"""


def _different(comparison: str) -> sa.TextClause:
    return sa.text(
        f"""
        SELECT field, user_id, allocation_id, session_id,
               coalesce(expected, 0)::bigint AS expected, coalesce(actual, 0)::bigint AS actual
        FROM ({comparison}) AS compared
        WHERE coalesce(expected, 0) <> coalesce(actual, 0)
        ORDER BY user_id, allocation_id, session_id, field LIMIT {_MOST}
        """  # noqa: S608 - our own text, no input
    )


_COMPARISONS = tuple(
    _different(comparison) for comparison in (_ALLOCATIONS, _HOLDS, _ACCOUNTS, _RESERVATIONS)
)
_OVERDUE_HOLDS = _different(_OVERDUE).bindparams(
    sa.bindparam("overdue_before", type_=sa.DateTime(timezone=True))
)


class ReconciliationStore:
    """A ReconciliationRepository on PostgreSQL; it must come first in its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def reconcile(self, *, at: datetime, overdue_before: datetime) -> Reconciliation:
        """Compare everything; a hold whose lease ended before `overdue_before` counts too."""
        await self._connection.execute(_SNAPSHOT)
        totals = (await self._connection.execute(_TOTALS)).mappings().one()
        found: list[Discrepancy] = []
        for comparison in _COMPARISONS:
            rows = await self._connection.execute(comparison)
            found.extend(Discrepancy(**row) for row in rows.mappings())
        rows = await self._connection.execute(_OVERDUE_HOLDS, {"overdue_before": overdue_before})
        found.extend(Discrepancy(**row) for row in rows.mappings())
        return Reconciliation(checked_at=at, totals=Totals(**totals), discrepancies=tuple(found))
