"""No orphan survives, however the parent ends. Real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aula_devstack.servers.descendants import is_alive
from aula_devstack.servers.process import LAUNCH

PARENT = """
import json, sys, time
from pathlib import Path
from aula_devstack.servers.descendants import descendants
from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.servers.process import wait_all_ready
from aula_devstack.servers.redis import Redis
from aula_devstack.servers.s3 import S3
import os

home, ports = Path(sys.argv[1]), Ports()
servers = [
    Mongo(port=ports.any("m"), data=home / "mongo", log_file=home / "m.log"),
    Redis(port=ports.any("r"), data=home / "redis", log_file=home / "r.log", password="secret"),
    S3(name="s3", port=ports.any("s"), log_file=home / "s.log"),
    Postgres(port=ports.any("p"), data=home / "pg", log_file=home / "p.log", password="secret"),
]
for server in servers:
    server.spawn()
wait_all_ready(servers)
servers_and_all = [server.pid for server in servers], sorted(descendants(os.getpid()))
print(json.dumps(servers_and_all), flush=True)
time.sleep(600)
"""


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if is_alive(pid)]


def _wait_none_alive(pids: list[int], *, timeout: float) -> list[int]:
    deadline = time.monotonic() + timeout
    while (left := _alive(pids)) and time.monotonic() < deadline:
        os.sched_yield()
    return left


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_every_server_ends_when_its_parent_is_killed(
    own_home: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(own_home)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        servers, pids = json.loads(parent.stdout.readline())
        try:
            # the servers themselves: PostgreSQL has children too, of which some end by themselves
            assert len(servers) == 4
            assert _alive(servers) == servers
            assert set(servers) < set(pids)
            parent.send_signal(number)
            parent.wait(10)
            assert _wait_none_alive(pids, timeout=20) == []
        finally:
            parent.kill()
            for pid in _alive(pids):
                os.kill(pid, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCH), "1", "15", "-1", "-1", "/bin/echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""


def test_a_program_that_cannot_be_run_says_so() -> None:
    done = subprocess.run(
        [
            sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), "15", "-1", "-1",
            "/nowhere/program",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 127
    assert "cannot run /nowhere/program" in done.stderr
