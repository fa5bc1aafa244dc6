"""The composition root: what a process shares, and the services built of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from aula_accounting.clients.news import RedisNewsStream
from aula_accounting.services.credits import CreditService
from aula_accounting.services.group_commit import GroupCommit
from aula_accounting.services.ledger import LedgerService
from aula_accounting.services.news import NewsRelay
from aula_accounting.services.quotas import QuotaService
from aula_accounting.services.rates import RateService
from aula_accounting.services.reconciliation import ReconciliationService
from aula_accounting.services.streaming import StreamingService
from aula_accounting.services.sweeper import Sweeper, sweep_slack
from aula_accounting.services.usage import UsageService
from aula_accounting.settings import CreditSettings, GroupCommitSettings, NewsSettings
from aula_accounting.storage.schema import migrate, ping, require_head
from aula_accounting.storage.streaming_batches import SqlStreamingBatches
from aula_accounting.storage.unit_of_work import start_work
from aula_common.clock import Clock
from aula_common.metrics import Metrics
from aula_common.postgres import connect, create_engine
from aula_common.redis import create_redis
from aula_common.settings import PostgresSettings

# With a new plan for each call, planning takes a fifth of a reserve's time.
_STREAMING_SETTINGS = {"plan_cache_mode": "force_generic_plan"}
_LONG_STATEMENT_MS = 600_000  # a migration or a reconciliation of everything may take its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What lives as long as the process."""

    engine: AsyncEngine
    long_engine: AsyncEngine
    credits: CreditService
    streaming: StreamingService
    ledger: LedgerService
    rates: RateService
    usage: UsageService
    quotas: QuotaService
    reconciliation: ReconciliationService
    sweeper: Sweeper

    async def check_ready(self) -> None:
        """Raise UnavailableError unless the database answers."""
        await ping(self.engine)

    async def check_schema(self) -> None:
        """Raise SchemaError unless the database's schema is this program's."""
        await require_head(self.engine)

    async def migrate(self) -> None:
        """Bring the database's schema to this program's."""
        await migrate(self.long_engine)


@asynccontextmanager
async def create_context(
    *,
    database: PostgresSettings,
    rules: CreditSettings,
    clock: Clock,
    metrics: Metrics,
    grouping: GroupCommitSettings | None = None,
) -> AsyncIterator[Context]:
    """A context for as long as the block lasts. It connects only when first used."""
    engine = create_engine(database, application="aula-accounting")
    patient = database.model_copy(
        update={"database_pool_size": 1, "database_statement_timeout_ms": _LONG_STATEMENT_MS}
    )
    long_engine = create_engine(patient, application="aula-accounting-long")
    batches = SqlStreamingBatches(
        partial(
            connect, database, application="aula-accounting-streaming", settings=_STREAMING_SETTINGS
        )
    )
    commits = _group_commit(
        batches,
        rules=rules,
        clock=clock,
        metrics=metrics,
        grouping=grouping or GroupCommitSettings(),
    )
    try:
        yield build_context(
            engine=engine,
            long_engine=long_engine,
            commits=commits,
            rules=rules,
            clock=clock,
            metrics=metrics,
        )
    finally:
        await commits.close()
        await batches.close()
        await engine.dispose()
        await long_engine.dispose()


def _group_commit(
    batches: SqlStreamingBatches,
    *,
    rules: CreditSettings,
    clock: Clock,
    metrics: Metrics,
    grouping: GroupCommitSettings,
) -> GroupCommit:
    return GroupCommit(
        batches=batches,
        clock=clock,
        lease=rules.lease,
        running_limit=rules.max_running_streams,
        lanes=grouping.group_commit_lanes,
        largest=grouping.group_commit_size,
        queue_limit=grouping.group_commit_queue,
        patience=grouping.group_commit_patience_seconds,
        sizes=metrics.histogram(
            "group_commit_members", "Members of a list.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
        ),
    )


def build_context(
    *,
    engine: AsyncEngine,
    long_engine: AsyncEngine,
    commits: GroupCommit,
    rules: CreditSettings,
    clock: Clock,
    metrics: Metrics,
) -> Context:
    """The services over two engines: one for requests, one for what may take minutes."""
    begin = partial(start_work, engine)
    return Context(
        engine=engine,
        long_engine=long_engine,
        credits=CreditService(start_work=begin, clock=clock),
        streaming=StreamingService(
            start_work=begin,
            commits=commits,
            running_limit=rules.max_running_streams,
            reserves=metrics.counter("reserves", "Reserves by what became of them.", ["verdict"]),
            settlements=metrics.counter(
                "settlements", "Settlements by what became of them.", ["kind", "verdict"]
            ),
            overruns=metrics.counter("overrun_credits", "Credits of usage beyond the hold."),
        ),
        ledger=LedgerService(start_work=begin),
        rates=RateService(start_work=begin, clock=clock),
        usage=UsageService(start_work=begin, clock=clock, running_limit=rules.max_running_streams),
        quotas=QuotaService(start_work=begin, clock=clock),
        reconciliation=ReconciliationService(
            start_work=partial(start_work, long_engine),
            clock=clock,
            slack=sweep_slack(rules.sweep_interval_seconds),
        ),
        sweeper=Sweeper(
            start_work=begin,
            clock=clock,
            swept=metrics.counter("swept_reservations", "Reservations that nobody had settled."),
        ),
    )


@asynccontextmanager
async def open_relay(
    context: Context, *, news: NewsSettings, metrics: Metrics
) -> AsyncIterator[NewsRelay | None]:
    """What publishes the news of a context, for as long as the block lasts; None without Redis."""
    if news.redis is None:
        yield None
        return
    redis = create_redis(news.redis, application="aula-accounting")
    try:
        yield NewsRelay(
            start_work=partial(start_work, context.engine),
            stream=RedisNewsStream(redis, length=news.news_stream_length),
            published=metrics.counter("published_news", "News that was published."),
        )
    finally:
        await redis.aclose()
