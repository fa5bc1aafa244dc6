"""The same as one writes it first: FastAPI and the ORM, a session for each request, no lists.

Served by `uvicorn bench.accounting.naive_orm:create_app --factory`. No authentication, no limit of
running streams, no repetition: what it leaves out makes it quicker.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from aula_accounting.storage import tables


class Base(DeclarativeBase):
    """Of the classes below."""

    metadata = tables.metadata


def _mapped(table: Table) -> Any:
    """A class of the ORM over one of the service's own tables."""
    return type(table.name, (Base,), {"__table__": table})


Account = _mapped(tables.accounts)
Allocation = _mapped(tables.allocations)
Reservation = _mapped(tables.reservations)
LedgerEntry = _mapped(tables.ledger_entries)
RateRow = _mapped(tables.rates)


class Start(BaseModel):
    """A stream that is about to start."""

    sessionId: str  # noqa: N815 - as it is on the wire
    userId: str  # noqa: N815 - likewise
    modelId: str  # noqa: N815 - likewise
    inputTokens: int  # noqa: N815 - likewise
    maxOutputTokens: int  # noqa: N815 - likewise


class End(BaseModel):
    """A stream that has ended."""

    sessionId: str  # noqa: N815 - as it is on the wire
    userId: str  # noqa: N815 - likewise
    inputTokens: int  # noqa: N815 - likewise
    outputTokens: int  # noqa: N815 - likewise


def _price(rate: Any, inputs: int, outputs: int) -> int:
    return -int(-(inputs * rate["input"] + outputs * rate["output"]) // 1000)


async def _reserve(session: AsyncSession, body: Start) -> dict[str, Any]:
    now = datetime.now(UTC)
    account = await session.get(Account, body.userId, with_for_update=True)
    if account is None:
        raise HTTPException(402)
    row = await session.scalar(
        select(RateRow)
        .where(RateRow.model_id == body.modelId, RateRow.starts_at <= now)
        .order_by(RateRow.starts_at.desc())
        .limit(1)
    )
    if row is None:
        raise HTTPException(422)
    rate = {"input": float(row.input_rate), "output": float(row.output_rate)}
    estimate = _price(rate, body.inputTokens, body.maxOutputTokens)
    hold = (6 * estimate + 4) // 5
    source = await session.scalar(
        select(Allocation)
        .where(Allocation.user_id == body.userId, Allocation.remaining >= hold)
        .order_by(Allocation.expires_at.nulls_last(), Allocation.created_at)
        .limit(1)
    )
    if source is None:
        raise HTTPException(402)
    source.remaining -= hold
    source.held += hold
    account.remaining -= hold
    account.held += hold
    session.add(
        Reservation(
            user_id=body.userId, session_id=body.sessionId, status="active", tombstone=False,
            service_id="chat", digest="0" * 64, model_id=body.modelId, rates={body.modelId: rate},
            input_tokens=body.inputTokens, max_output_tokens=body.maxOutputTokens,
            estimated=estimate, reserved=hold, source_ids=[source.id], source_amounts=[hold],
            started_at=now, lease_expires_at=now + timedelta(seconds=300), tokens_generated=0,
        )
    )  # fmt: skip
    await session.flush()
    session.add(_entry(body, "hold", hold, source.id, now))
    await session.commit()
    return {"sessionId": body.sessionId, "allocatedCredits": hold}


async def _settle(session: AsyncSession, body: End) -> dict[str, Any]:
    now = datetime.now(UTC)
    account = await session.get(Account, body.userId, with_for_update=True)
    held = await session.get(Reservation, (body.userId, body.sessionId))
    if account is None or held is None or held.status != "active":
        raise HTTPException(404)
    source = await session.get(Allocation, (body.userId, held.source_ids[0]))
    assert source is not None
    price = _price(held.rates[held.model_id], body.inputTokens, body.outputTokens)
    charge = min(price, held.reserved)
    refund = held.reserved - charge
    for holder in (source, account):
        holder.held -= held.reserved
        holder.remaining += refund
    source.charged += charge
    held.status, held.settled_at, held.settled_by = "completed", now, "chat"
    held.answered_model_id, held.charged, held.lapsed = held.model_id, charge, 0
    held.overrun, held.used_input_tokens = price - charge, body.inputTokens
    held.used_output_tokens, held.used_unsplit_tokens = body.outputTokens, 0
    session.add(_entry(body, "charge", charge, source.id, now))
    session.add(_entry(body, "refund", refund, source.id, now))
    session.add(_entry(body, "settle", charge, None, now))
    await session.commit()
    return {"sessionId": body.sessionId, "actualCredits": charge, "refund": refund}


def _entry(
    body: Start | End, kind: str, amount: int, allocation_id: str | None, at: datetime
) -> Any:
    return LedgerEntry(
        user_id=body.userId, kind=kind, amount=amount, allocation_id=allocation_id,
        session_id=body.sessionId, actor_id="chat", recorded_at=at,
    )  # fmt: skip


def create_app() -> FastAPI:
    """The application on the database at DATABASE_URL."""
    engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=32)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def ready() -> None:
        return None

    @app.post("/initialize", status_code=201)
    async def initialize(body: Start) -> dict[str, Any]:
        async with sessions() as session:
            return await _reserve(session, body)

    @app.post("/finalize")
    async def finalize(body: End) -> dict[str, Any]:
        async with sessions() as session:
            return await _settle(session, body)

    return app
