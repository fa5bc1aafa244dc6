"""A real Redis Cluster: nodes of the embedded server that share the slots among them."""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from aula_devstack.servers.ports import Ports, is_free
from aula_devstack.servers.redis import Redis as RedisServer

SLOTS = 16384
_BUS = 10_000  # a node's second port, by the protocol
_SECONDS = 30


class Node(RedisServer):
    """One of a cluster's servers."""

    def prepare(self) -> None:
        """The settings of a server, and those of a node."""
        super().prepare()
        with self._settings_file.open("a") as settings:
            settings.write("cluster-enabled yes\ncluster-config-file nodes.conf\n")


@contextmanager
def running_cluster(home: Path, *, nodes: int) -> Iterator[list[Node]]:
    """A cluster without replicas that answers for all slots."""
    password = secrets.token_urlsafe(12)
    with ExitStack() as stack:
        started = []
        for number in range(nodes):
            node = Node(
                name=f"redis-{number}",
                port=_port(),
                data=home / f"redis-{number}",
                log_file=home / f"redis-{number}.log",
                password=password,
            )
            stack.callback(node.stop)
            node.start()
            started.append(node)
        clients = [stack.enter_context(Redis.from_url(node.url)) for node in started]
        for number, client in enumerate(clients):
            first, last = SLOTS * number // nodes, SLOTS * (number + 1) // nodes
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER ADDSLOTS", *range(first, last))
            if number:
                client.execute_command("CLUSTER MEET", "127.0.0.1", started[0].port)
        _wait(clients)
        yield started


def _port() -> int:
    ports = Ports()
    while True:
        port = ports.any("redis")
        if is_free(port + _BUS):
            return port


def _wait(clients: list[Any]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not all(_knows(client, len(clients)) for client in clients):
        assert time.monotonic() < deadline, "the cluster was not formed"
        time.sleep(0.05)


def _knows(client: Any, nodes: int) -> bool:
    lines = client.execute_command("CLUSTER NODES")
    linked = [node for node in lines.values() if node["connected"]]
    served = sum(int(last) - int(first) + 1 for node in linked for first, last in node["slots"])
    state = client.execute_command("CLUSTER INFO")["cluster_state"]
    return len(linked) == nodes and served == SLOTS and state == "ok"
