"""The `aula` command where no platform is needed: refusals and answers about nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from aula_devstack.servers.ports import Ports
from aula_devstack.state import StateFile

AULA = Path(sys.executable).parent / "aula"


def _aula(*words: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(AULA), *words],
        env={**os.environ, "AULA_HOME": str(home), "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_names_every_command(tmp_path: Path) -> None:
    done = _aula("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("up", "demo", "status", "down"):
        assert f"  {command} " in done.stdout


def test_status_of_an_empty_home_says_so_and_is_3(tmp_path: Path) -> None:
    done = _aula("status", home=tmp_path)
    assert done.returncode == 3
    assert f"Nothing runs in {tmp_path}." in done.stdout


def test_down_where_nothing_runs_is_no_failure(tmp_path: Path) -> None:
    done = _aula("down", home=tmp_path)
    assert done.returncode == 0
    assert "Nothing runs" in done.stdout


def test_a_second_up_on_the_same_home_is_refused_clearly(tmp_path: Path) -> None:
    owner = StateFile(tmp_path)
    owner.acquire()
    try:
        done = _aula("up", home=tmp_path)
    finally:
        owner.release()
    assert done.returncode == 1
    assert f"is already run by process {os.getpid()}" in done.stderr
    assert "aula down" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_explicit_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    port = Ports().any("listener")
    with socket.create_server(("127.0.0.1", port)):
        done = _aula("up", "--port", str(port), home=tmp_path)
    assert done.returncode == 1
    assert f"port {port}, asked for gateway, is taken" in done.stderr
    assert not (tmp_path / "data").exists()
    assert StateFile(tmp_path).running() is None


def test_a_home_that_cannot_be_made_is_refused_clearly(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    done = _aula("up", "--home", str(in_the_way / "home"), home=tmp_path)
    assert done.returncode == 1
    assert "cannot be written by this user" in done.stderr


def test_the_option_wins_over_the_variable(tmp_path: Path) -> None:
    done = _aula("status", "--home", str(tmp_path / "other"), home=tmp_path)
    assert f"Nothing runs in {tmp_path / 'other'}." in done.stdout
