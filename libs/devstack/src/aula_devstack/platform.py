"""The whole platform as one object: the embedded servers, the services and the gateway."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from aula_devstack.environment import SERVICES
from aula_devstack.errors import DevstackError
from aula_devstack.home import Home
from aula_devstack.parts import ACCOUNTING_DATABASE, Parts, choose_ports, make_parts
from aula_devstack.people import DemoPeople, demo_people
from aula_devstack.postgres_databases import ensure_database
from aula_devstack.seed import seed
from aula_devstack.servers.bedrock import DEFAULT_PACE_MS, Bedrock
from aula_devstack.servers.gateway import Gateway
from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.servers.process import Process, stop_all, wait_all_ready
from aula_devstack.servers.redis import Redis
from aula_devstack.servers.s3 import S3
from aula_devstack.servers.service import Service
from aula_devstack.state import PlatformState, ProcessState


class Platform:
    """Starts and stops everything; each process is a handle to kill, suspend, restart.

    `home`: keeps data, logs and secrets between runs. `fixed_ports`: the development defaults
    where they are free, else any free ports. `gateway_port`: the user's own choice, an error if it
    is taken. `environment`: more variables for every service, `service_environment` for one by its
    name. `pace_ms`: milliseconds between two pieces of the local model's answer.
    Use from the main thread; `start` blocks until everything is ready and seeded.
    """

    def __init__(
        self,
        *,
        home: Path,
        fixed_ports: bool = False,
        gateway_port: int | None = None,
        services: tuple[str, ...] = SERVICES,
        environment: Mapping[str, str] | None = None,
        service_environment: Mapping[str, Mapping[str, str]] | None = None,
        pace_ms: float = DEFAULT_PACE_MS,
        fresh: bool = False,
        seeded: bool = True,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = Home(home)
        self._fixed_ports = fixed_ports
        self._gateway_port = gateway_port
        self._services = services
        self._environment = dict(environment or {})
        self._service_environment = dict(service_environment or {})
        self._pace_ms = pace_ms
        self._fresh = fresh
        self._seeded = seeded
        self._report = report
        self._ports = Ports(report=report)
        self._chosen_ports: dict[str, int] = {}
        self._parts: Parts | None = None
        self._replicas: list[Service] = []

    def start(self) -> None:
        """Bring everything up; on a failure stop what was started and raise what went wrong."""
        self.home.state.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything in the reverse order of its start; may be called again."""
        if self._parts is not None:
            self._parts.gateway.stop()
            for process in reversed((*self._parts.services.values(), *self._replicas)):
                process.stop()
            stop_all(self._parts.servers)
        self._replicas.clear()
        self.home.state.release()

    @property
    def url(self) -> str:
        """The gateway's address, which is the platform's."""
        return self.parts.addresses.gateway

    @property
    def parts(self) -> Parts:
        """What runs; raises RuntimeError before the start."""
        if self._parts is None:
            raise RuntimeError("the platform was not started")
        return self._parts

    @property
    def people(self) -> DemoPeople:
        """The demo people with their passwords."""
        return demo_people(self.home.secrets)

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes in start order, replicas last."""
        if self._parts is None:
            return ()
        return (*self._parts.in_start_order, *self._replicas)

    def process(self, name: str) -> Process:
        """A process by its name, such as `chat-2`; raises KeyError."""
        return {process.name: process for process in self.processes}[name]

    @property
    def postgres(self) -> Postgres:
        """The PostgreSQL server; stop and start keep its port and data."""
        return self.parts.postgres

    @property
    def mongo(self) -> Mongo:
        """The server that speaks MongoDB's protocol."""
        return self.parts.mongo

    @property
    def redis(self) -> Redis:
        """The Redis server."""
        return self.parts.redis

    @property
    def s3(self) -> S3:
        """The S3 endpoint."""
        return self.parts.s3

    @property
    def bedrock(self) -> Bedrock:
        """The local Bedrock endpoint."""
        return self.parts.bedrock

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        return self.parts.gateway

    @property
    def auth(self) -> Service:
        """The auth service."""
        return self.parts.services["auth"]

    @property
    def accounting(self) -> Service:
        """The accounting service."""
        return self.parts.services["accounting"]

    @property
    def chat(self) -> Service:
        """The first chat process, the one that the gateway asks."""
        return self.parts.services["chat"]

    @property
    def monitoring(self) -> Service:
        """The monitoring service."""
        return self.parts.services["monitoring"]

    def add_replica(
        self,
        service: str,
        *,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        module: str | None = None,
    ) -> Service:
        """Start another process of a service on its own port and the same databases.

        It is named `chat-2` and so on unless `name` says otherwise; returns when it is ready. The
        gateway does not know it: use its `url`. `module`: run this instead of the service's main.
        """
        first = self.parts.services[service]
        count = 2 + sum(replica.service == service for replica in self._replicas)
        name = name or f"{service}-{count}"
        replica = first.another(
            name=name,
            port=self._ports.any(name),
            log_file=self.home.log(name),
            environment=environment,
            module=module,
        )
        self._replicas.append(replica)
        replica.start()
        self._save_state()
        return replica

    def _start(self) -> None:
        if self._fresh:
            self.home.clear()
        self.home.begin_logs()
        if not self._chosen_ports:  # a second start keeps them
            self._chosen_ports = choose_ports(
                self._ports, gateway_port=self._gateway_port, fixed=self._fixed_ports
            )
        self._parts = parts = make_parts(
            self.home,
            ports=self._chosen_ports,
            services=self._services,
            environment=self._environment,
            service_overrides=self._service_environment,
            pace_ms=self._pace_ms,
            report=self._report,
        )
        if self._fresh and parts.postgres.data is not None:
            # it may stand outside the home
            shutil.rmtree(parts.postgres.data, ignore_errors=True)
        for process in parts.servers:
            process.spawn()
        wait_all_ready(parts.databases)
        ensure_database(parts.postgres.url, ACCOUNTING_DATABASE)
        for name, service in parts.services.items():
            if name != "accounting":
                service.spawn()
        parts.gateway.spawn()
        if accounting := parts.services.get("accounting"):
            accounting.run_command("migrate")
            accounting.spawn()
        wait_all_ready(self.processes)
        if self._seeded:
            self._seed(parts)
        self._save_state()

    def _seed(self, parts: Parts) -> None:
        missing = set(SERVICES) - set(parts.services)
        if missing:
            raise DevstackError(f"demo people need every service; absent: {sorted(missing)}")
        seed(
            url=self.url,
            people=self.people,
            create_admin=lambda person: parts.services["auth"].run_command(
                "create-admin", "--username", person.username, "--email", person.email,
                "--password-stdin", stdin=person.password,
            ),
        )  # fmt: skip

    def _save_state(self) -> None:
        self.home.state.save(
            PlatformState(
                pid=os.getpid(),
                address=self.url,
                processes=tuple(
                    ProcessState(
                        name=process.name,
                        pid=process.pid,
                        address=process.shown_address,
                        data=str(process.data) if process.data else "",
                        log=str(process.log_file),
                    )
                    for process in self.processes
                ),
            )
        )
