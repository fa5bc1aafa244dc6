"""Reservations in a unit of work, and what is read of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.credits import Hold
from aula_accounting.domain.streaming import (
    Reservation,
    ReservationStatus,
    ReserveOutcome,
    ReserveRequest,
    ReserveVerdict,
    Settlement,
    SettleOutcome,
    SettleRequest,
    SettleVerdict,
    Shortage,
    Source,
)
from aula_accounting.storage.quotas import to_standing
from aula_accounting.storage.tables import accounts, reservations

COLUMNS = ", ".join(f"(f.reservation).{column.name}" for column in reservations.columns)
_TYPES = {column.name: column.type for column in reservations.columns}

_RESERVE = (
    sa.text(
        f"SELECT f.place, f.outcome, f.detail, {COLUMNS} "  # noqa: S608 - names of our own columns
        "FROM reserve_credits(:requests, :moment, :lease, :running_limit) AS f"
    )
    .bindparams(
        sa.bindparam("requests", type_=JSONB),
        sa.bindparam("moment", type_=sa.DateTime(timezone=True)),
        sa.bindparam("lease", type_=sa.Interval),
        sa.bindparam("running_limit", type_=sa.Integer),
    )
    .columns(place=sa.Integer, outcome=sa.Text, detail=JSONB, **_TYPES)
)

_SETTLE = (
    sa.text(
        f"SELECT f.place, f.outcome, {COLUMNS} "  # noqa: S608 - names of our own columns
        "FROM settle_credits(:requests, :moment) AS f"
    )
    .bindparams(
        sa.bindparam("requests", type_=JSONB),
        sa.bindparam("moment", type_=sa.DateTime(timezone=True)),
    )
    .columns(place=sa.Integer, outcome=sa.Text, **_TYPES)
)


class StreamingStore:
    """A StreamingRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def reserve(
        self,
        requests: Sequence[ReserveRequest],
        *,
        at: datetime,
        lease: timedelta,
        running_limit: int,
    ) -> Sequence[ReserveOutcome]:
        """Reserve for each request, or say why not, in their order."""
        rows = await self._connection.execute(
            _RESERVE,
            {
                "requests": _numbered(requests),
                "moment": at,
                "lease": lease,
                "running_limit": running_limit,
            },
        )
        ordered = sorted(rows.mappings(), key=lambda row: row["place"])
        return [reserve_outcome(row) for row in ordered]

    async def settle(
        self, requests: Sequence[SettleRequest], *, at: datetime
    ) -> Sequence[SettleOutcome]:
        """Settle each, or return how it was settled before, in their order."""
        rows = await self._connection.execute(
            _SETTLE, {"requests": _numbered(requests), "moment": at}
        )
        ordered = sorted(rows.mappings(), key=lambda row: row["place"])
        return [
            SettleOutcome(
                verdict=SettleVerdict(row["outcome"]),
                reservation=to_reservation(row) if row["session_id"] is not None else None,
            )
            for row in ordered
        ]

    async def find(self, session_id: str) -> Reservation | None:
        """The reservation of a streaming session."""
        rows = await self._connection.execute(
            sa.select(reservations).where(reservations.c.session_id == session_id)
        )
        row = rows.mappings().one_or_none()
        return to_reservation(row) if row is not None else None

    async def list_active(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]:
        """Running streams, of a user or of all, the newest first, and how many there are."""
        active = reservations.c.status == "active"
        where = sa.and_(active, reservations.c.user_id == user_id) if user_id else active
        total = await self._connection.scalar(
            sa.select(sa.func.count()).select_from(reservations).where(where)
        )
        rows = await self._connection.execute(
            sa.select(reservations)
            .where(where)
            .order_by(reservations.c.started_at.desc(), reservations.c.session_id)
            .offset(offset)
            .limit(limit)
        )
        return [to_reservation(row) for row in rows.mappings()], total or 0

    async def claim_overdue(self, *, at: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Lock the accounts of overdue reservations, but those that somebody else has locked.

        Accounts and not reservations: the account is locked first everywhere, so a sweeper and
        a late finalizer can't wait for one another.
        """
        overdue = (
            sa.select(reservations.c.user_id, reservations.c.session_id)
            .where(reservations.c.status == "active", reservations.c.lease_expires_at <= at)
            .order_by(reservations.c.lease_expires_at)
            .limit(limit)
            .subquery()
        )
        rows = await self._connection.execute(
            sa.select(overdue.c.user_id, overdue.c.session_id)
            .join(accounts, accounts.c.user_id == overdue.c.user_id)
            .order_by(accounts.c.user_id)
            .with_for_update(of=accounts, skip_locked=True)
        )
        return [(row.user_id, row.session_id) for row in rows]


def _numbered(
    requests: Sequence[ReserveRequest | SettleRequest],
) -> list[dict[str, Any]]:
    return [{"place": place, **asdict(request)} for place, request in enumerate(requests)]


def reserve_outcome(row: Mapping[Any, Any]) -> ReserveOutcome:
    """The outcome in a row of `reserve_credits`."""
    verdict = ReserveVerdict(row["outcome"])
    detail = row["detail"] or {}
    match verdict:
        case ReserveVerdict.RESERVED | ReserveVerdict.SETTLED:
            return ReserveOutcome(verdict=verdict, reservation=to_reservation(row))
        case ReserveVerdict.HELD | ReserveVerdict.INSUFFICIENT:
            return ReserveOutcome(verdict=verdict, shortage=_shortage(detail))
        case ReserveVerdict.QUOTA:
            return ReserveOutcome(verdict=verdict, quota=to_standing(detail))
        case ReserveVerdict.UNPRICED:
            return ReserveOutcome(verdict=verdict, unpriced_model_id=detail["model_id"])
        case _:
            return ReserveOutcome(verdict=verdict)


def _shortage(detail: Mapping[str, Any]) -> Shortage:
    return Shortage(
        available=detail["available"],
        required=detail["required"],
        estimated=detail["estimated"],
        held=detail["held"],
        holds=tuple(
            Hold(**{**hold, "since": datetime.fromisoformat(hold["since"])})
            for hold in detail["holds"]
        ),
    )


def to_reservation(row: Mapping[Any, Any]) -> Reservation:
    """The reservation in a row of its table."""
    return Reservation(
        session_id=row["session_id"],
        user_id=row["user_id"],
        status=ReservationStatus(row["status"]),
        tombstone=row["tombstone"],
        service_id=row["service_id"],
        chat_session_id=row["chat_session_id"],
        model_id=row["model_id"],
        rates=row["rates"],
        input_tokens=row["input_tokens"],
        max_output_tokens=row["max_output_tokens"],
        estimated=row["estimated"],
        reserved=row["reserved"],
        sources=tuple(
            Source(allocation_id=allocation_id, amount=amount)
            for allocation_id, amount in zip(row["source_ids"], row["source_amounts"], strict=True)
        ),
        started_at=row["started_at"],
        lease_expires_at=row["lease_expires_at"],
        tokens_generated=row["tokens_generated"],
        settlement=_settlement(row),
    )


def _settlement(row: Mapping[Any, Any]) -> Settlement | None:
    if row["settled_at"] is None:
        return None
    return Settlement(
        at=row["settled_at"],
        by=row["settled_by"],
        model_id=row["answered_model_id"],
        input_tokens=row["used_input_tokens"],
        output_tokens=row["used_output_tokens"],
        unsplit_tokens=row["used_unsplit_tokens"],
        charged=row["charged"],
        refund=row["reserved"] - row["charged"],
        lapsed=row["lapsed"],
        overrun=row["overrun"],
        duration_ms=row["duration_ms"],
        reason=row["reason"],
    )
