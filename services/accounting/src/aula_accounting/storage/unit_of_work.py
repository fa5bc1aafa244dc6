"""One transaction and the repositories in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from aula_accounting.storage.credits import CreditStore
from aula_accounting.storage.idempotency import IdempotencyStore
from aula_accounting.storage.ledger import LedgerStore
from aula_accounting.storage.outbox import OutboxStore
from aula_accounting.storage.quotas import QuotaStore
from aula_accounting.storage.rates import RateStore
from aula_accounting.storage.reconciliation import ReconciliationStore
from aula_accounting.storage.streaming import StreamingStore
from aula_accounting.storage.usage import UsageStore
from aula_common.postgres import postgres_errors


class SqlUnitOfWork:
    """A UnitOfWork on one connection to PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.credits = CreditStore(connection)
        self.streaming = StreamingStore(connection)
        self.ledger = LedgerStore(connection)
        self.rates = RateStore(connection)
        self.usage = UsageStore(connection)
        self.quotas = QuotaStore(connection)
        self.outbox = OutboxStore(connection)
        self.idempotency = IdempotencyStore(connection)
        self.reconciliation = ReconciliationStore(connection)

    async def commit(self) -> None:
        """Make it happen. UnavailableError leaves open whether it did: repeat the request."""
        await self._connection.commit()


@asynccontextmanager
async def start_work(engine: AsyncEngine) -> AsyncIterator[SqlUnitOfWork]:
    """A unit of work; what it did not commit is rolled back at its end."""
    with postgres_errors():
        async with engine.connect() as connection:
            yield SqlUnitOfWork(connection)
