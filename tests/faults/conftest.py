"""A victim among replicas, and the table that the run ends with."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import broken_accounting
import pytest
from e2e_people import People, people_of
from fault_checks import Cell, Victim
from fault_places import Begin, MakeVictim
from fault_victims import victim_of

from aula_devstack.platform import Platform

_CELLS: list[Cell] = []


@pytest.fixture(scope="session")
def platform(platform: Platform) -> Platform:
    """The platform; with a broken promise if this run is to see that a cell notices."""
    broken_accounting.break_promise(platform)
    return platform


@pytest.fixture
async def people(platform: Platform) -> AsyncIterator[People]:
    """Makes people on the platform."""
    async with people_of(platform) as made:
        yield made


@pytest.fixture
def make_victim(platform: Platform) -> Iterator[MakeVictim]:
    """Starts a chat process for one cell, with the variables given."""
    with ExitStack() as stack:

        def make(**environment: str) -> Victim:
            # each delta a chunk, as the cells name their moments by numbers of chunks
            dense = {"CHUNK_SECONDS": "0", **environment}
            return stack.enter_context(victim_of(platform, **dense))

        yield make


@pytest.fixture
def victim(make_victim: MakeVictim) -> Victim:
    """A second chat process for one cell."""
    return make_victim()


@pytest.fixture
def cell() -> Begin:
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
        terminalreporter.line(
            f"{cell.fault:28} {cell.phase:14} {', '.join(dict.fromkeys(cell.checked))}"
        )
