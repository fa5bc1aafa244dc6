"""What one stream asks of the databases and of accounting: each operation by name, and no other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from chat_builders import UNENDING, Chat, Surroundings, run_chat
from mongo_traffic import MongoTraffic
from postgres_traffic import PostgresTraffic, recorded_postgres
from prometheus_client.parser import text_string_to_metric_families
from redis_traffic import recorded

from aula_chat import factory
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.service import Service

NEVER = 3600.0
QUICK = "[[pace=0 tokens=3]] Hi"
MONGO = [
    "aggregate sessions",  # the session with its newest messages
    "update streams",  # the claim
    "bulkWrite 1 sessions, 1 streams, 1 messages",  # it begins: the user's message is kept
    "update streams",  # the end, with the settlement's intent
    "bulkWrite 2 streams, 2 messages, 1 sessions",  # if it is ours: messages, totals, release
]
POSTGRES = ["apply_streaming", "apply_streaming"]  # reserve, settle
ACCOUNTING = {
    "POST /streaming/initialize 201": 1,
    "POST /streaming/finalize 200": 1,
}
# an append of one window, whatever it carries
APPEND = ["EVALSHA", "GET", "XREVRANGE", "EXISTS", "XADD", "EXPIRE", "SET"]
HANDSHAKE = {"HELLO", "AUTH", "CLIENT", "SELECT"}  # of a new connection, the recorder's say
CHECKPOINT = "bulkWrite 1 streams"


@dataclass
class Operations:
    """Everything that a chat process and its accounting have asked for."""

    chat: Chat
    mongo: MongoTraffic
    postgres: PostgresTraffic

    async def accounting_calls(self) -> Counter[str]:
        """The requests that accounting has answered, by route and status."""
        answer = await self.chat.http.get(f"{self.chat.around.accounting_url}/metrics")
        calls: Counter[str] = Counter()
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.name == "aula_http_requests_total":
                    labels = sample.labels
                    call = f"{labels['method']} {labels['route']} {labels['status']}"
                    calls[call] = int(sample.value)
        return calls

    def forget(self) -> None:
        """Count from here on."""
        self.mongo.commands.clear()
        self.postgres.statements.clear()


@asynccontextmanager
async def own_accounting(
    around: Surroundings, database: str, log_file: Path
) -> AsyncIterator[tuple[Surroundings, PostgresTraffic]]:
    """Accounting of this test's own, idle but for what it is asked."""
    async with recorded_postgres(database) as (traffic, url):
        service = Service(
            service="accounting",
            name="accounting",
            port=Ports().any("accounting"),
            log_file=log_file,
            environment={
                "AULA_ENV": "development",
                "AUTH_API_URL": around.auth_url,
                "DATABASE_URL": url,
                "SWEEP_INTERVAL_SECONDS": str(NEVER),
            },
        )
        try:
            # waiting in threads: for the database, which this loop carries
            await asyncio.to_thread(service.run_command, "migrate")
            service.spawn()
            await asyncio.to_thread(service.wait_ready)
            yield replace(around, accounting_url=service.url), traffic
        finally:
            await asyncio.to_thread(service.stop)


@pytest.fixture
async def operations(
    around: Surroundings,
    postgres_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Operations]:
    """What is asked for streams; nothing else is: what the process does by itself waits."""
    for name in ("_RELAY_SECONDS", "_LOOK_SECONDS", "_AUDIENCE_SECONDS", "_ERASURE_SECONDS"):
        monkeypatch.setattr(factory, name, NEVER)
    mongo = MongoTraffic()
    mongo.listen(monkeypatch)
    log_file = tmp_path / "accounting.log"
    async with own_accounting(around, postgres_database, log_file) as (beside, postgres):
        durations = {"recovery_seconds": NEVER, "checkpoint_seconds": 0.3}
        async with run_chat(beside, **durations) as chat:
            yield Operations(chat, mongo, postgres)


async def test_a_stream_needs_these_operations_and_no_more(
    operations: Operations, redis_url: str
) -> None:
    chat = operations.chat
    student = await chat.student()
    session_id = await student.new_session()
    await student.ask(session_id, QUICK)  # scripts, tokens, connections are there from now on
    called = await operations.accounting_calls()
    operations.forget()

    async with recorded(redis_url) as redis:
        events = await student.ask(session_id, QUICK)

    assert events[-1].json()["settlement"] == "settled"
    assert operations.mongo.commands == MONGO
    statements = [_name(one) for one in operations.postgres.statements]
    assert statements == POSTGRES
    calls = await operations.accounting_calls() - called
    calls.pop("GET /metrics 200", None)  # this test's own
    assert calls == ACCOUNTING
    asked = [[command.name.decode() for command in unit] for unit in redis.units()]
    appends = [names for names in asked if names[0] not in HANDSHAKE]
    assert appends == [APPEND] * len(appends)
    # the first and the last event at once, what comes between in windows
    assert 2 <= len(appends) <= len(events)


async def test_each_interval_of_a_longer_stream_adds_one_checkpoint(operations: Operations) -> None:
    student = await operations.chat.student()
    session_id = await student.new_session()
    operations.forget()
    async with student.asking(session_id, UNENDING) as reading:
        await reading.until(lambda _: operations.mongo.commands.count(CHECKPOINT) >= 3)
        stopped = len(operations.mongo.commands)
        await student.stop(session_id)
        await reading.to_end()
    begun = MONGO[:3]
    assert operations.mongo.commands[:stopped] == [*begun, *[CHECKPOINT] * (stopped - len(begun))]


async def test_streams_that_run_at_once_share_their_checkpoints(operations: Operations) -> None:
    student = await operations.chat.student(credits=10_000)
    async with AsyncExitStack() as stack:
        sessions = [await student.new_session() for _ in range(3)]
        readings = [
            await stack.enter_async_context(student.asking(session_id, UNENDING))
            for session_id in sessions
        ]
        for live in operations.chat.process.streams._live.running():
            live.renewed_at -= NEVER  # all are due at once
        commands = operations.mongo.commands
        await readings[0].until(lambda _: "bulkWrite 3 streams" in commands)
        for session_id, reading in zip(sessions, readings, strict=True):
            await student.stop(session_id)
            await reading.to_end()


def _name(statement: str) -> str:
    return next((name for name in POSTGRES if name in statement), statement)
