"""Real engines in containers, where a Docker engine answers."""

import functools
import os
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from aula_devstack.errors import DevstackError

SOCKET = "/var/run/docker.sock"
PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"
REPLICA_SET = """
try { rs.status() } catch (e) { rs.initiate({_id: "rs0", members: [{_id: 0, host: "127.0.0.1"}]}) }
quit(db.hello().isWritablePrimary ? 0 : 1)
"""


@functools.cache
def engine_answers() -> bool:
    """Whether `GET /_ping` on the engine's socket is answered; tells at once when there is none."""
    address = urlsplit(os.environ.get("DOCKER_HOST", f"unix://{SOCKET}"))
    try:
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as engine:
                engine.settimeout(2)
                engine.connect(address.path)
                return _pinged(engine)
        with socket.create_connection((address.hostname or "", address.port or 2375), 2) as engine:
            return _pinged(engine)
    except OSError:
        return False


def postgres(stack: ExitStack) -> str:
    """Start PostgreSQL 18; `stack` removes it."""
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 - only where Docker is

    container = stack.enter_context(PostgresContainer("postgres:18", username="aula", driver=None))
    return str(container.get_connection_url())


def mongo(stack: ExitStack) -> str:
    """Start MongoDB 8 as a replica set of one, for transactions; `stack` removes it."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

    container = stack.enter_context(
        DockerContainer("mongo:8")
        .with_command("--replSet rs0 --bind_ip_all")
        .with_exposed_ports(27017)
    )
    deadline = time.monotonic() + 60
    while container.exec(["mongosh", "--quiet", "--eval", REPLICA_SET]).exit_code != 0:
        if time.monotonic() > deadline:
            raise DevstackError("MongoDB's container did not become a primary within 60 s")
        time.sleep(0.2)
    host, port = container.get_container_host_ip(), container.get_exposed_port(27017)
    return f"mongodb://{host}:{port}/?directConnection=true"


def redis(stack: ExitStack) -> str:
    """Start Redis 8; `stack` removes it."""
    from testcontainers.redis import RedisContainer  # noqa: PLC0415 - as above

    container = stack.enter_context(RedisContainer("redis:8"))
    return f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"


def _pinged(engine: socket.socket) -> bool:
    engine.sendall(PING)
    return b" 200 " in engine.recv(256)
