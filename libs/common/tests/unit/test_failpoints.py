"""Failpoints strike where they are armed, once, and say so."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aula_common.errors import UnavailableError
from aula_common.failpoints import ArmedFailpoints

REACH = """
import asyncio, pathlib, sys
from aula_common.failpoints import ArmedFailpoints
asyncio.run(ArmedFailpoints(pathlib.Path(sys.argv[1])).reach("here"))
"""


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_unarmed_place_is_passed(tmp_path: Path) -> None:
    await ArmedFailpoints(tmp_path).reach("here")

    assert files(tmp_path) == []


async def test_armed_place_fails_once_and_tells(tmp_path: Path) -> None:
    failpoints = ArmedFailpoints(tmp_path)
    (tmp_path / "here.armed").write_text("raise")

    await failpoints.reach("elsewhere")
    with pytest.raises(UnavailableError):
        await failpoints.reach("here")
    await failpoints.reach("here")

    assert files(tmp_path) == ["here.struck"]


async def test_nth_time_counts_from_the_start(tmp_path: Path) -> None:
    failpoints = ArmedFailpoints(tmp_path)
    await failpoints.reach("here")
    (tmp_path / "here.armed").write_text("raise@3")

    await failpoints.reach("here")
    with pytest.raises(UnavailableError):
        await failpoints.reach("here")


async def test_paused_place_goes_on_when_told(tmp_path: Path) -> None:
    (tmp_path / "here.armed").write_text("pause")
    reaching = asyncio.create_task(ArmedFailpoints(tmp_path).reach("here"))
    while "here.struck" not in files(tmp_path):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0)
    assert not reaching.done()

    (tmp_path / "here.go").touch()

    await asyncio.wait_for(reaching, 5)


async def test_unknown_action_is_an_error_and_not_a_pass(tmp_path: Path) -> None:
    (tmp_path / "here.armed").write_text("explode")

    with pytest.raises(ValueError, match="explode"):
        await ArmedFailpoints(tmp_path).reach("here")


@pytest.mark.parametrize("action", ["exit", "exit-soon"])
def test_exit_kills_the_process_as_a_crash_would(tmp_path: Path, action: str) -> None:
    (tmp_path / "here.armed").write_text(action)

    ended = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", REACH, str(tmp_path)], check=False, capture_output=True, timeout=30
    )

    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "here.struck").exists()
