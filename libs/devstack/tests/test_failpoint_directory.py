"""Arming and disarming the failpoints of a process."""

from pathlib import Path

import pytest

from aula_common.errors import UnavailableError
from aula_common.failpoints import ArmedFailpoints
from aula_devstack.testing.failpoints import FailpointDirectory


async def test_a_disarmed_place_is_passed(tmp_path: Path) -> None:
    directory, place = FailpointDirectory(tmp_path), ArmedFailpoints(tmp_path)
    directory.arm("here", "raise")
    assert directory.disarm("here")
    await place.reach("here")
    assert not directory.struck("here")


async def test_what_has_struck_is_disarmed_no_more(tmp_path: Path) -> None:
    directory, place = FailpointDirectory(tmp_path), ArmedFailpoints(tmp_path)
    directory.arm("here", "raise")
    with pytest.raises(UnavailableError):
        await place.reach("here")
    assert not directory.disarm("here")
    assert directory.struck("here")
