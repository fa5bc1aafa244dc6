"""What the tests of accounting share: a bank on a real database, a running application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from aula_accounting.domain.credits import Allocation, Grant
from aula_accounting.domain.streaming import (
    Reservation,
    ReservationStatus,
    ReserveRequest,
    SettlementKind,
    SettleRequest,
)
from aula_accounting.factory import Context, create_context
from aula_accounting.main import create_app
from aula_accounting.settings import CreditSettings, GroupCommitSettings, Settings
from aula_common.clock import Clock
from aula_common.ids import new_id
from aula_common.metrics import Metrics
from aula_common.security.principal import Role
from aula_common.settings import Environment, PostgresSettings, TokenSettings
from aula_common.testing import ManualClock, TokenMint

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"  # 3 credits per 1,000 tokens
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"  # .25
OPUS = "anthropic.claude-3-opus-20240229-v1:0"  # 15

LEASE_SECONDS = 300.0
CHAT_SCOPES = ("streaming:write", "rates:read", "credits:read")


def postgres_settings(url: str, **overrides: Any) -> PostgresSettings:
    """Settings of the database at that address."""
    return PostgresSettings(database_url=SecretStr(url), **overrides)


def reserve_request(user_id: str, session_id: str | None = None, **changes: Any) -> ReserveRequest:
    """A stream of 1,000 tokens with Sonnet: estimate 3, hold 4."""
    fields: dict[str, Any] = {
        "session_id": session_id or new_id("str"),
        "user_id": user_id,
        "service_id": "chat",
        "chat_session_id": None,
        "team_id": None,
        "model_ids": (SONNET,),
        "input_tokens": 500,
        "output_tokens": 500,
        "unsplit_tokens": 0,
        "max_output_tokens": 500,
        "digest": "digest",
        **changes,
    }
    return ReserveRequest(**fields)


def finalize_request(user_id: str, session_id: str, **changes: Any) -> SettleRequest:
    """The end of a stream that used nothing, unless said otherwise."""
    fields: dict[str, Any] = {
        "kind": SettlementKind.FINALIZE,
        "user_id": user_id,
        "session_id": session_id,
        "actor_id": "chat",
        "status": ReservationStatus.COMPLETED,
        "input_tokens": 0,
        **changes,
    }
    return SettleRequest(**fields)


def abort_request(user_id: str, session_id: str, **changes: Any) -> SettleRequest:
    """The abort of a stream that has shown nothing, unless said otherwise."""
    fields: dict[str, Any] = {
        "kind": SettlementKind.ABORT,
        "user_id": user_id,
        "session_id": session_id,
        "actor_id": "chat",
        "status": ReservationStatus.ABORTED,
        **changes,
    }
    return SettleRequest(**fields)


@dataclass(frozen=True, kw_only=True)
class Bank:
    """The services of accounting on a database of the test's own, with a held clock."""

    context: Context
    clock: ManualClock
    url: str

    async def give(
        self,
        user_id: str,
        credits: int,  # noqa: A002 - the field's word
        *,
        lives: float | None = None,
    ) -> Allocation:
        """Give the user credits that expire after so many seconds, or never."""
        expires_at = self.clock.now() + timedelta(seconds=lives) if lives else None
        grant = Grant(user_ids=(user_id,), credits=credits, expires_at=expires_at, note=None)
        [given] = await self.context.credits.allocate(grant, actor_id="admin", key=new_id("key"))
        return given

    async def reserve(
        self, user_id: str, session_id: str | None = None, **changes: Any
    ) -> Reservation:
        """Initialize a stream."""
        return await self.context.streaming.initialize(
            reserve_request(user_id, session_id, **changes)
        )

    async def finalize(self, user_id: str, session_id: str, **changes: Any) -> Reservation:
        """Finalize a stream."""
        return await self.context.streaming.settle(finalize_request(user_id, session_id, **changes))

    async def abort(self, user_id: str, session_id: str, **changes: Any) -> Reservation:
        """Abort a stream."""
        return await self.context.streaming.settle(abort_request(user_id, session_id, **changes))

    async def sweep(self) -> int:
        """Sweep; how many reservations were settled."""
        return (await self.context.sweeper.sweep()).reservations

    async def allocation(self, allocation_id: str) -> Allocation:
        """The allocation as it stands."""
        found, _ = await self.context.credits.list_allocations(None, offset=0, limit=100)
        return next(one for one in found if one.id == allocation_id)

    async def entries(self, user_id: str) -> list[tuple[str, int]]:
        """Kind and amount of the user's ledger entries, the oldest first."""
        found, _ = await self.context.ledger.list_entries(user_id, offset=0, limit=100)
        return [(entry.kind.value, entry.amount) for entry in reversed(found)]

    async def discrepancies(self) -> list[str]:
        """What reconciliation finds, as `field of id`."""
        result = await self.context.reconciliation.reconcile()
        return [
            f"{found.field} of {found.allocation_id or found.session_id or found.user_id}"
            for found in result.discrepancies
        ]

    async def execute(self, *statements: str) -> None:
        """Run SQL in one transaction with the rights of the database's owner."""
        connection = await asyncpg.connect(plain_url(self.url))
        try:
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    async def query(self, statement: str, *arguments: Any) -> Sequence[Any]:
        """Rows of SQL."""
        connection = await asyncpg.connect(plain_url(self.url))
        try:
            rows: Sequence[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()


def plain_url(url: str) -> str:
    """The address as asyncpg reads it."""
    return url.replace("postgresql+asyncpg://", "postgresql://")


@asynccontextmanager
async def open_bank(
    url: str,
    *,
    clock: ManualClock | None = None,
    streams: int = 5,
    lanes: int = 1,
    **database: Any,
) -> AsyncIterator[Bank]:
    """A bank on the database at that address, brought to head; `streams` may run at once."""
    clock = clock or ManualClock()
    async with create_context(
        database=postgres_settings(url, **database),
        rules=CreditSettings(max_running_streams=streams),
        clock=clock,
        metrics=Metrics(),
        grouping=GroupCommitSettings(group_commit_lanes=lanes),
    ) as context:
        await context.migrate()
        yield Bank(context=context, clock=clock, url=url)


@dataclass(frozen=True, kw_only=True)
class Api:
    """A running application, and callers of every kind."""

    app: FastAPI
    http: httpx.AsyncClient
    mint: TokenMint

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    def person(self, user_id: str, role: Role = Role.ENDUSER) -> dict[str, str]:
        """Headers of a person."""
        return {"Authorization": f"Bearer {self.mint.user(user_id, role=role)}"}

    @property
    def admin(self) -> dict[str, str]:
        """Headers of an admin."""
        return self.person("usr_admin", Role.ADMIN)

    def service(self, *scopes: str, client: str = "chat") -> dict[str, str]:
        """Headers of a service."""
        token = self.mint.service(client, audience="accounting", scopes=scopes)
        return {"Authorization": f"Bearer {token}"}

    @property
    def chat(self) -> dict[str, str]:
        """Headers of chat."""
        return self.service(*CHAT_SCOPES)

    async def post(
        self, path: str, body: Any, headers: dict[str, str], **more: str
    ) -> httpx.Response:
        """POST under accounting's prefix; `key` is the idempotency key."""
        if "key" in more:
            headers = {**headers, "Idempotency-Key": more["key"]}
        return await self.http.post(f"/api/accounting{path}", json=body, headers=headers)

    async def get(self, path: str, headers: dict[str, str], **params: Any) -> httpx.Response:
        """GET under accounting's prefix."""
        return await self.http.get(f"/api/accounting{path}", headers=headers, params=params)

    async def give(self, user_id: str, credits: int) -> str:  # noqa: A002 - the field's word
        """Give the user credits; the allocation's id."""
        body = {"userId": user_id, "credits": credits}
        answer = await self.post("/credits/allocate", body, self.admin, key=new_id("key"))
        assert answer.status_code == 201, answer.text
        given: str = answer.json()["allocations"][0]["allocationId"]
        return given

    async def initialize(self, user_id: str, session_id: str, **changes: Any) -> httpx.Response:
        """Initialize a stream as chat does: 1,000 tokens with Sonnet, hold 4."""
        body = {
            "sessionId": session_id,
            "userId": user_id,
            "modelId": SONNET,
            "inputTokens": 500,
            "maxOutputTokens": 500,
            **changes,
        }
        return await self.post("/streaming/initialize", body, self.chat)

    async def finalize(self, user_id: str, session_id: str, **changes: Any) -> httpx.Response:
        """Finalize a stream as chat does."""
        body = {
            "sessionId": session_id,
            "userId": user_id,
            "inputTokens": 0,
            "outputTokens": 0,
            **changes,
        }
        return await self.post("/streaming/finalize", body, self.chat)


def make_settings(url: str, *, streams: int = 5, **database: Any) -> Settings:
    """Settings on that database; nothing is taken from the machine's own environment."""
    return Settings(
        aula_env=Environment.DEVELOPMENT,
        tokens=TokenSettings(),
        database=postgres_settings(url, **database),
        credits=CreditSettings(max_running_streams=streams),
    )


@asynccontextmanager
async def open_api(
    url: str, *, clock: Clock | None = None, streams: int = 5, **database: Any
) -> AsyncIterator[Api]:
    """The real application on the database at that address, brought to head."""
    settings = make_settings(url, streams=streams, **database)
    async with open_bank(url):
        pass
    mint = TokenMint(clock)
    app = create_app(settings, clock=clock, verifier=mint.verifier("accounting"))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://accounting") as http,
    ):
        yield Api(app=app, http=http, mint=mint)


def moment(text: str) -> datetime:
    """A time of an answer."""
    return datetime.fromisoformat(text)
