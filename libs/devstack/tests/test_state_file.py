"""Who runs a home's platform is known, and a dead owner deceives nobody."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aula_devstack.errors import AlreadyRunningError
from aula_devstack.state import PlatformState, ProcessState, StateFile

OWNER = """
import signal, sys
from pathlib import Path
from aula_devstack.state import StateFile
StateFile(Path(sys.argv[1])).acquire()
print("holds", flush=True)
signal.pause()
"""
ROW = ProcessState(name="chat", pid=2, address="127.0.0.1:3002", data="", log="chat.log")


def test_what_was_saved_is_read_while_the_owner_holds_the_home(tmp_path: Path) -> None:
    owner = StateFile(tmp_path)
    owner.acquire()
    saved = PlatformState(pid=os.getpid(), address="http://127.0.0.1:8080", processes=(ROW,))
    owner.save(saved)
    assert StateFile(tmp_path).running() == saved
    owner.release()
    assert StateFile(tmp_path).running() is None


def test_a_second_owner_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    first = StateFile(tmp_path)
    first.acquire()
    with pytest.raises(AlreadyRunningError, match=f"already run by process {os.getpid()}"):
        StateFile(tmp_path).acquire()
    first.release()
    second = StateFile(tmp_path)
    second.acquire()
    second.release()


def test_a_killed_owner_leaves_the_home_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        running = StateFile(tmp_path).running()
        assert running is not None
        assert running.pid == owner.pid
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert (tmp_path / "state.json").exists()
    assert StateFile(tmp_path).running() is None


def test_an_empty_home_runs_nothing(tmp_path: Path) -> None:
    assert StateFile(tmp_path).running() is None
