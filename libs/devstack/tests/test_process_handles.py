"""What a handle on a process promises, on real servers."""

import os
import sys
import threading
from pathlib import Path

import pytest

from aula_devstack.errors import NotReadyError
from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.probes import exchange
from aula_devstack.servers.process import Process
from aula_devstack.servers.redis import Redis


class FailsAtOnce(Process):
    """A process that complains and ends."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", "print('no configuration'); raise SystemExit(7)"]

    def answers(self) -> bool:
        return False


class NeverReady(Process):
    """A process that runs and does not answer."""

    stop_within = 0.2

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-c",
            "from signal import *; signal(SIGTERM, SIG_IGN); print('deaf', flush=True); pause()",
        ]

    def answers(self) -> bool:
        return False


def test_a_process_that_ends_before_it_is_ready_is_reported_with_its_log(own_home: Path) -> None:
    process = FailsAtOnce(name="broken", port=1, log_file=own_home / "broken.log")
    with pytest.raises(NotReadyError, match=r"broken ended with status 7.*\n.*no configuration"):
        process.start()


def test_a_process_that_ignores_the_stop_signal_is_killed(own_home: Path) -> None:
    process = NeverReady(name="deaf", port=1, log_file=own_home / "deaf.log")
    process.spawn()
    while "deaf" not in process.last_lines():
        os.sched_yield()
    with pytest.raises(NotReadyError, match=r"deaf did not become ready within 0.1 s"):
        process.wait_ready(timeout=0.1)
    process.stop()
    assert process.exit_status == -9


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_passes_it_by(redis_server: Redis) -> None:
    assert os.getsid(redis_server.pid) == redis_server.pid
    assert os.getsid(redis_server.pid) != os.getsid(0)


def test_a_restart_keeps_the_port_and_the_data(redis_server: Redis) -> None:
    before = redis_server.pid
    password = redis_server.url.split(":")[2].split("@")[0]
    exchange(redis_server.port, f"AUTH {password}\r\nSET key value\r\n".encode())
    redis_server.restart()
    assert redis_server.pid != before
    answer = exchange(redis_server.port, f"AUTH {password}\r\nGET key\r\n".encode())
    while answer == b"+OK\r\n":  # the first read brought the first answer only
        answer = exchange(redis_server.port, f"AUTH {password}\r\nGET key\r\n".encode())
    assert answer.endswith(b"$5\r\nvalue\r\n")


def test_redis_asks_for_the_password(redis_server: Redis) -> None:
    assert exchange(redis_server.port, b"PING\r\n").startswith(b"-NOAUTH")


def test_a_suspended_server_does_not_answer_until_it_is_resumed(mongo_server: Mongo) -> None:
    assert mongo_server.answers()
    mongo_server.suspend()
    assert mongo_server.running
    assert not mongo_server.answers()
    mongo_server.resume()
    mongo_server.wait_ready(timeout=10)


def test_a_suspended_server_can_be_stopped(redis_server: Redis) -> None:
    redis_server.suspend()
    redis_server.stop()
    assert redis_server.exit_status == 0


def test_only_the_main_thread_may_start_a_process(own_home: Path) -> None:
    process = FailsAtOnce(name="broken", port=1, log_file=own_home / "broken.log")
    refused: list[RuntimeError] = []

    def start() -> None:
        try:
            process.spawn()
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refused) == 1
    assert not process.running


def test_variables_of_the_shell_do_not_reach_a_process(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere-else/production")
    process = FailsAtOnce(name="any", port=1, log_file=own_home / "x.log", environment={"A": "1"})
    assert "DATABASE_URL" not in process.full_environment()
    assert process.full_environment()["A"] == "1"
