"""`aula up` with the real services: it starts, tells, refuses, stops, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from aula_devstack.environment import SERVICES
from aula_devstack.errors import NotReadyError
from aula_devstack.people import CREDITS_EACH, DemoPerson
from aula_devstack.platform import Platform
from aula_devstack.seed import seed
from aula_devstack.servers.descendants import descendants, is_alive
from aula_devstack.state import StateFile

AULA = str(Path(sys.executable).parent / "aula")
READY = "Aula is ready"


@contextmanager
def _up(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`aula up` in a process of its own once it is ready, and what it printed until then."""
    with subprocess.Popen(
        [AULA, "up", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as parent:
        try:
            assert parent.stdout is not None
            printed = ""
            for line in parent.stdout:
                printed += line
                if READY in line:
                    break
            assert READY in printed, printed
            yield parent, printed
        finally:
            if parent.poll() is None:
                parent.terminate()


def _left_alive(pids: set[int], *, timeout: float) -> set[int]:
    deadline = time.monotonic() + timeout
    while (left := {pid for pid in pids if is_alive(pid)}) and time.monotonic() < deadline:
        os.sched_yield()
    return left


def test_up_tells_what_runs_and_down_stops_it_from_another_terminal(own_home: Path) -> None:
    with _up(own_home) as (parent, printed):
        for part in ("gateway", "postgres", "mongo", "redis", "s3", "bedrock", *SERVICES):
            assert f" {part} " in printed
        passwords = json.loads((own_home / "secrets.json").read_text())
        for username in ("admin", "sam", "ada", "ben"):
            assert passwords[f"person.{username}"] in printed
        assert passwords["postgres"] not in printed
        assert passwords["redis"] not in printed

        status = subprocess.run(
            [AULA, "status", "--home", str(own_home)], capture_output=True, text=True, check=False
        )
        assert status.returncode == 0
        assert f"parent process {parent.pid}" in status.stdout

        second = subprocess.run(
            [AULA, "up", "--home", str(own_home)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"process {parent.pid}" in second.stderr

        children = descendants(parent.pid)
        down = subprocess.run([AULA, "down", "--home", str(own_home)], check=False)
        assert down.returncode == 0
        assert parent.stdout is not None
        assert "Everything is stopped." in parent.stdout.read()
        assert parent.wait(10) == 0
        assert _left_alive(children, timeout=5) == set()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_command(own_home: Path, number: signal.Signals) -> None:
    with _up(own_home) as (parent, _):
        children = descendants(parent.pid)
        assert len(children) >= len(SERVICES) + 6
        parent.send_signal(number)
        # read on, as a terminal would: its last words must not block it
        parent.communicate(timeout=60)
        assert parent.returncode == (-9 if number is signal.SIGKILL else 0)
        assert _left_alive(children, timeout=30) == set()
    assert StateFile(own_home).running() is None


def test_data_is_kept_between_runs_and_fresh_removes_it(own_home: Path) -> None:
    def start(*, fresh: bool) -> tuple[str, str]:
        platform = Platform(home=own_home, fresh=fresh)
        try:
            platform.start()
            return _user_id(platform, platform.people.ada), platform.people.ada.password
        finally:
            platform.stop()

    first = start(fresh=False)
    assert start(fresh=False) == first
    assert start(fresh=True) != first


def test_seeding_again_changes_nothing(platform: Platform) -> None:
    def everything() -> list[object]:
        with httpx.Client(base_url=platform.url, timeout=10) as client:
            token = client.post("/api/auth/login", json=_sign_in(platform.people.admin)).json()
            client.headers["Authorization"] = f"Bearer {token['accessToken']}"
            users = client.get("/api/auth/users").json()["users"]
            return [
                sorted((user["id"], user["username"], user["role"]) for user in users),
                client.get("/api/monitoring/relationships").json()["relationships"],
                [
                    client.get("/api/accounting/credits", params={"userId": user["id"]}).json()
                    for user in sorted(users, key=lambda user: str(user["username"]))
                ],
            ]

    def refuse(person: DemoPerson) -> None:
        raise AssertionError(f"{person.username} was there already")

    before = everything()
    assert str(CREDITS_EACH) in str(before)
    seed(url=platform.url, people=platform.people, create_admin=refuse)
    assert everything() == before


def test_a_second_chat_process_shares_the_databases(
    make_platform: Callable[..., Platform],
) -> None:
    platform = make_platform()
    replica = platform.add_replica("chat")
    assert replica.name == "chat-2"
    with httpx.Client(timeout=10) as client:
        login = client.post(f"{platform.url}/api/auth/login", json=_sign_in(platform.people.ben))
        headers = {"Authorization": f"Bearer {login.json()['accessToken']}"}
        made = client.post(
            f"{platform.url}/api/chat/sessions", json={"title": "mine"}, headers=headers
        )
        assert made.status_code == httpx.codes.CREATED
        seen = client.get(
            f"{replica.url}/api/chat/sessions/{made.json()['sessionId']}", headers=headers
        )
    assert seen.json()["title"] == "mine"


def test_a_service_that_cannot_start_is_named_with_its_log_and_all_is_stopped(
    own_home: Path,
) -> None:
    platform = Platform(
        home=own_home,
        services=("auth",),
        seeded=False,
        service_environment={"auth": {"SIGNING_KEYS_SECRET": "short"}},
    )
    with pytest.raises(NotReadyError, match=r"(?s)auth ended with status .*SIGNING_KEYS_SECRET"):
        platform.start()
    assert not any(process.running for process in platform.processes)
    assert StateFile(own_home).running() is None


def _sign_in(person: DemoPerson) -> dict[str, str]:
    return {"username": person.username, "password": person.password}


def _user_id(platform: Platform, person: DemoPerson) -> str:
    answer = httpx.post(f"{platform.url}/api/auth/login", json=_sign_in(person), timeout=10)
    return str(answer.json()["user"]["id"])
