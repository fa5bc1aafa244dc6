"""The ledger's invariants as SQL: each statement returns what breaks it, for the users in $1."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

INVARIANTS: dict[str, str] = {
    "1: every allocation equals the replayed ledger": """
        SELECT a.id FROM allocations a LEFT JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE kind = 'allocate'), 0) AS granted,
                coalesce(sum(amount) FILTER (WHERE kind = 'hold'), 0) AS taken,
                coalesce(sum(amount) FILTER (WHERE kind = 'charge'), 0) AS charged,
                coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded,
                coalesce(sum(amount) FILTER (WHERE kind = 'lapse'), 0) AS lapsed,
                coalesce(sum(amount) FILTER (WHERE kind = 'expire'), 0) AS expired,
                coalesce(sum(amount) FILTER (WHERE kind = 'revoke'), 0) AS revoked
            FROM ledger_entries e WHERE e.user_id = a.user_id AND e.allocation_id = a.id
        ) l ON true
        WHERE a.user_id = ANY ($1) AND (
            a.granted <> l.granted OR a.charged <> l.charged OR a.revoked <> l.revoked
            OR a.lapsed <> l.lapsed + l.expired
            OR a.held <> l.taken - l.charged - l.refunded - l.lapsed
            OR a.remaining <> l.granted - l.taken + l.refunded - l.expired - l.revoked)
    """,
    "1: every account equals its allocations": """
        SELECT c.user_id FROM accounts c LEFT JOIN LATERAL (
            SELECT coalesce(sum(remaining), 0) AS remaining, coalesce(sum(held), 0) AS held
            FROM allocations a WHERE a.user_id = c.user_id
        ) s ON true
        WHERE c.user_id = ANY ($1) AND (c.remaining <> s.remaining OR c.held <> s.held)
    """,
    "2: nothing is negative, and what was granted is somewhere": """
        SELECT id FROM allocations WHERE user_id = ANY ($1) AND (
            least(remaining, held, charged, lapsed, revoked) < 0
            OR granted - charged - held - lapsed - revoked <> remaining)
    """,
    "3: a reservation has one terminal entry, a running one none": """
        SELECT r.session_id FROM reservations r WHERE r.user_id = ANY ($1)
            AND (r.status <> 'active')::integer <> (
                SELECT count(*) FROM ledger_entries e
                WHERE e.user_id = r.user_id AND e.session_id = r.session_id AND e.kind = 'settle')
    """,
    "4: charged and refunded are what was reserved": """
        SELECT r.session_id FROM reservations r LEFT JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE kind = 'hold'), 0) AS taken,
                coalesce(sum(amount) FILTER (WHERE kind = 'charge'), 0) AS charged,
                coalesce(sum(amount) FILTER (WHERE kind IN ('refund', 'lapse')), 0) AS refunded,
                coalesce(sum(amount) FILTER (WHERE kind = 'lapse'), 0) AS lapsed
            FROM ledger_entries e WHERE e.user_id = r.user_id AND e.session_id = r.session_id
        ) l ON true
        WHERE r.user_id = ANY ($1) AND r.status <> 'active' AND (
            r.reserved <> l.taken OR r.charged <> l.charged OR r.lapsed <> l.lapsed
            OR l.charged + l.refunded <> l.taken OR r.charged > r.reserved)
    """,
    "5: nothing is held any more": """
        SELECT session_id FROM reservations WHERE user_id = ANY ($1) AND status = 'active'
        UNION ALL SELECT user_id FROM accounts WHERE user_id = ANY ($1) AND held <> 0
    """,
    "6: a charge is the price of the usage, at most the hold; the rest is an overrun": """
        SELECT r.session_id FROM reservations r CROSS JOIN LATERAL (
            SELECT price_credits(r.used_input_tokens, r.used_output_tokens, r.used_unsplit_tokens,
                (r.rates -> r.answered_model_id ->> 'input')::numeric,
                (r.rates -> r.answered_model_id ->> 'output')::numeric) AS price
        ) p
        WHERE r.user_id = ANY ($1) AND r.status <> 'active' AND NOT r.tombstone
            AND (r.charged <> least(p.price, r.reserved) OR r.overrun <> p.price - r.charged)
    """,
    "8: a refund goes back to what has not ended, and lapses else": """
        SELECT e.id::text FROM ledger_entries e
        JOIN allocations a ON a.user_id = e.user_id AND a.id = e.allocation_id
        WHERE e.user_id = ANY ($1) AND (
            (e.kind = 'refund' AND (a.expires_at <= e.recorded_at OR a.revoked_at < e.recorded_at))
            OR (e.kind = 'lapse' AND NOT coalesce(a.expires_at <= e.recorded_at, false)
                AND NOT coalesce(a.revoked_at <= e.recorded_at, false))
            OR (e.kind = 'expire' AND a.expires_at > e.recorded_at)
            OR (e.kind = 'hold' AND (a.expires_at <= e.recorded_at
                OR a.revoked_at < e.recorded_at)))
    """,
    "10a: an abort that came first let no reserve in": """
        SELECT r.session_id FROM reservations r WHERE r.user_id = ANY ($1) AND r.tombstone AND (
            r.status = 'active' OR r.reserved <> 0 OR EXISTS (
                SELECT FROM ledger_entries e WHERE e.user_id = r.user_id
                    AND e.session_id = r.session_id AND e.kind <> 'settle'))
    """,
}
AT_REST = "11: no connection is idle in a transaction"
_AT_REST = """
    SELECT pid, query FROM pg_stat_activity
    WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


async def broken_invariants(
    connection: asyncpg.Connection, users: Sequence[str]
) -> dict[str, list[Any]]:
    """What is broken, by invariant; empty if all hold. Everything must have been settled."""
    found = {
        name: [row[0] for row in await connection.fetch(statement, list(users))]
        for name, statement in INVARIANTS.items()
    }
    found[AT_REST] = [tuple(row) for row in await connection.fetch(_AT_REST)]
    return {name: rows for name, rows in found.items() if rows}


async def check_append_only(connection: asyncpg.Connection) -> None:
    """Invariant 10: the database refuses to change the ledger, even for its owner."""
    for statement in ("UPDATE ledger_entries SET amount = 1", "DELETE FROM ledger_entries"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)
