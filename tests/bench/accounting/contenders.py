"""Who is compared: the best SQL, the naive way, and the service, on one database."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.accounting import best_sql, naive_orm
from bench.processes import TESTS, UnderUvicorn, family_cpu

from aula_accounting.domain.credits import Grant
from aula_accounting.factory import create_context
from aula_accounting.settings import CreditSettings
from aula_common.clock import SystemClock
from aula_common.metrics import Metrics
from aula_common.settings import PostgresSettings
from aula_common.testing import TokenMint
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.servers.process import Process
from aula_devstack.servers.service import Service
from aula_devstack.temporary import temporary_home

USERS = 1_000
_CREDITS = 10**12
_SECRET = secrets.token_urlsafe(32)
_FAR_FUTURE = 4_102_444_800  # 2100: longer than any run
_TOKEN = TokenMint(shared_secret=_SECRET).service(
    "chat", audience="accounting", scopes=["streaming:write"], exp=_FAR_FUTURE
)


@dataclass(frozen=True)
class Measured:
    """What one run of one contender did; CPU is in µs for each pair."""

    pairs: int
    pairs_per_second: float
    database_cpu: float
    service_cpu: float = 0.0
    generator_cpu: float = 0.0
    generator_share: float = 0.0  # of one core
    median_ms: float | None = None


class Contender(Protocol):
    """One way to reserve and settle."""

    @property
    def name(self) -> str: ...
    def run(self, *, clients: int, seconds: float, users: int) -> Measured: ...


class BestSql:
    """pgbench, straight to the database."""

    name = "pgbench"

    def __init__(self, server: Postgres, folder: Path) -> None:
        self._server, self._folder = server, folder

    def run(self, *, clients: int, seconds: float, users: int) -> Measured:
        """Measure for so many seconds."""
        script = best_sql.write_script(self._folder, users=users)
        before = family_cpu(self._server)
        program = self._server._program("pgbench")
        done = best_sql.run(self._server, program, script, clients=clients, seconds=seconds)
        pairs = int(done["pairs"])
        cpu = 1e6 * (family_cpu(self._server) - before) / max(1, pairs)
        return Measured(pairs, done["pairs_per_second"], cpu)


class OverHttp:
    """A process that answers HTTP, asked by the load generator."""

    def __init__(self, name: str, process: Process, server: Postgres, prefix: str) -> None:
        self.name = name
        self.process = process
        self._server = server
        self._prefix = prefix

    def run(self, *, clients: int, seconds: float, users: int) -> Measured:
        """Measure for so many seconds; AssertionError if anything was refused."""
        before = family_cpu(self._server), family_cpu(self.process)
        done = self._load(clients=clients, seconds=seconds, users=users)
        after = family_cpu(self._server), family_cpu(self.process)
        assert not done["refused"], done["refused"]
        database, service = (
            1e6 * (b - a) / done["pairs"] for a, b in zip(before, after, strict=True)
        )
        return Measured(
            pairs=done["pairs"],
            pairs_per_second=done["pairs_per_second"],
            database_cpu=database,
            service_cpu=service,
            generator_cpu=1e6 * done["cpu_seconds"] / done["pairs"],
            generator_share=done["cpu_seconds"] / done["seconds"],
            median_ms=done["median_ms"],
        )

    def _load(self, **options: float) -> Mapping[str, Any]:
        words = [sys.executable, "-m", "bench.accounting.load", "--port", str(self.process.port)]
        words += ["--prefix", self._prefix]
        for option, value in options.items():
            words += [f"--{option}", str(value)]
        environment = {**os.environ, "PYTHONPATH": str(TESTS), "BENCH_TOKEN": _TOKEN}
        done = subprocess.run(  # noqa: S603 - our own program
            words, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found


async def prepare(url: str) -> None:
    """Bring the database to head and give every user credits."""
    from pydantic import SecretStr  # noqa: PLC0415 - one use

    async with create_context(
        database=PostgresSettings(database_url=SecretStr(url)),
        rules=CreditSettings(),
        clock=SystemClock(),
        metrics=Metrics(),
    ) as context:
        await context.migrate()
        users = tuple(f"usr_{number}" for number in range(1, USERS + 1))
        grant = Grant(user_ids=users, credits=_CREDITS, expires_at=None, note=None)
        await context.credits.allocate(grant, actor_id="bench", key="bench")


@contextmanager
def started(prepare_database: Any) -> Iterator[tuple[Service, list[Contender]]]:
    """All contenders over one durable PostgreSQL, and the service, to reconcile with."""
    ports = Ports()
    with temporary_home("aula-bench-") as home:
        server = Postgres(
            port=ports.any("postgres"), data=home / "postgres", log_file=home / "postgres.log",
            password=secrets.token_urlsafe(12),
        )  # fmt: skip
        address = {"DATABASE_URL": server.database_url("postgres", scheme="postgresql+asyncpg")}
        service = Service(
            service="accounting", name="accounting", port=ports.any("accounting"),
            log_file=home / "accounting.log",
            environment={
                **address, "JWT_ACCESS_SECRET": _SECRET, "MAX_RUNNING_STREAMS": "1000",
                "LOG_LEVEL": os.environ.get("BENCH_LOG_LEVEL", "INFO"),
            },
        )  # fmt: skip
        naive = UnderUvicorn(
            f"{naive_orm.__name__}:create_app", name="naive", port=ports.any("naive"),
            log_file=home / "naive.log", environment=address,
        )  # fmt: skip
        processes = (server, service, naive)
        try:
            server.start()
            prepare_database(address["DATABASE_URL"])
            service.start()
            naive.start()
            yield (
                service,
                [
                    BestSql(server, home),
                    OverHttp("naive ORM", naive, server, ""),
                    OverHttp("service", service, server, "/api/accounting/streaming"),
                ],
            )
        finally:
            for process in reversed(processes):
                process.stop()
