"""The processes of one platform, made but not started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aula_devstack.environment import SERVICES, Addresses, service_environment
from aula_devstack.home import Home
from aula_devstack.servers.bedrock import Bedrock
from aula_devstack.servers.gateway import Gateway
from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.servers.process import Process
from aula_devstack.servers.redis import Redis
from aula_devstack.servers.s3 import S3
from aula_devstack.servers.service import Service
from aula_devstack.workspace import caddyfile

ACCOUNTING_DATABASE = "aula_accounting"
# the development defaults, all below 32768
PORTS = {
    "gateway": 8080,
    "auth": 3000,
    "accounting": 3001,
    "chat": 3002,
    "monitoring": 3003,
    "postgres": 15432,
    "mongo": 17017,
    "redis": 16379,
    "s3": 19000,
    "bedrock": 18081,
}


@dataclass(frozen=True)
class Parts:
    """Everything that runs, and its addresses."""

    postgres: Postgres
    mongo: Mongo
    redis: Redis
    s3: S3
    bedrock: Bedrock
    services: dict[str, Service]
    gateway: Gateway
    addresses: Addresses

    @property
    def databases(self) -> tuple[Process, ...]:
        """What the services need before they start."""
        return (self.mongo, self.redis, self.postgres)

    @property
    def servers(self) -> tuple[Process, ...]:
        """What is no service and not the gateway; PostgreSQL, slow to prepare, comes last."""
        return (self.s3, self.bedrock, *self.databases)

    @property
    def in_start_order(self) -> tuple[Process, ...]:
        """All of them; the reverse is the order to stop in."""
        return (*self.servers, *self.services.values(), self.gateway)


def choose_ports(ports: Ports, *, gateway_port: int | None, fixed: bool) -> dict[str, int]:
    """A port for each part: the defaults where free if `fixed`, else any.

    `gateway_port` is the user's explicit choice: PortTakenError when it is in use.
    """
    chosen = {} if gateway_port is None else {"gateway": ports.explicit("gateway", gateway_port)}
    for name, port in PORTS.items():
        if name not in chosen:
            chosen[name] = ports.preferred(name, port) if fixed else ports.any(name)
    return chosen


def make_parts(
    home: Home,
    *,
    ports: Mapping[str, int],
    services: tuple[str, ...],
    environment: Mapping[str, str],
    service_overrides: Mapping[str, Mapping[str, str]],
    pace_ms: float,
    report: Callable[[str], None],
) -> Parts:
    """Make the processes. `environment` goes to each service, `service_overrides` to one."""
    secrets = home.secrets
    postgres = Postgres(
        port=ports["postgres"],
        data=home.data("postgres"),
        log_file=home.log("postgres"),
        password=secrets.password("postgres"),
        report=report,
    )
    mongo = Mongo(port=ports["mongo"], data=home.data("mongo"), log_file=home.log("mongo"))
    redis = Redis(
        port=ports["redis"],
        data=home.data("redis"),
        log_file=home.log("redis"),
        password=secrets.password("redis"),
    )
    s3 = S3(name="s3", port=ports["s3"], log_file=home.log("s3"))
    bedrock = Bedrock(port=ports["bedrock"], log_file=home.log("bedrock"), pace_ms=pace_ms)
    addresses = Addresses(
        gateway=f"http://127.0.0.1:{ports['gateway']}",
        services={name: f"http://127.0.0.1:{ports[name]}" for name in SERVICES},
        database=postgres.database_url(ACCOUNTING_DATABASE, scheme="postgresql+asyncpg"),
        mongo=mongo.url,
        redis=redis.url,
        s3=s3.url,
        bedrock=bedrock.url,
    )
    return Parts(
        postgres=postgres,
        mongo=mongo,
        redis=redis,
        s3=s3,
        bedrock=bedrock,
        services={
            name: Service(
                service=name,
                name=name,
                port=ports[name],
                log_file=home.log(name),
                environment={
                    **service_environment(name, addresses=addresses, secrets=secrets),
                    **environment,
                    **service_overrides.get(name, {}),
                },
            )
            for name in services
        },
        gateway=Gateway(
            port=ports["gateway"],
            data=home.data("gateway"),
            log_file=home.log("gateway"),
            caddyfile=caddyfile(),
            upstreams=addresses.service_variables(),
        ),
        addresses=addresses,
    )
