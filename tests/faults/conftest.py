"""A victim among replicas, and the table that the run ends with."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import broken_chat
import pytest
from e2e_people import People, people_of
from fault_checks import Cell, Victim

from aula_devstack.platform import Platform
from aula_devstack.temporary import temporary_home
from aula_devstack.testing.failpoints import FailpointDirectory

_CELLS: list[Cell] = []


@pytest.fixture
async def people(platform: Platform) -> AsyncIterator[People]:
    """Makes people on the platform."""
    async with people_of(platform) as made:
        yield made


@pytest.fixture
def victim(platform: Platform) -> Iterator[Victim]:
    """A second chat process for one cell."""
    with temporary_home("aula-failpoints-") as home:
        failpoints = FailpointDirectory(Path(home))
        breach = broken_chat.environment()
        process = platform.add_replica(
            "chat",
            environment={**failpoints.environment, **breach},
            module=broken_chat.__name__ if breach else None,
        )
        yield Victim(process, failpoints)
        process.resume()
        process.kill()


@pytest.fixture
def cell() -> Callable[[str, str], Cell]:
    """Begins a cell of the table."""

    def begin(fault: str, phase: str) -> Cell:
        _CELLS.append(Cell(fault, phase))
        return _CELLS[-1]

    return begin


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, cell by cell, with what was checked."""
    if not _CELLS:
        return
    terminalreporter.section("faults by phase")
    for cell in _CELLS:
        terminalreporter.line(f"{cell.fault:28} {cell.phase:14} {', '.join(cell.checked)}")
