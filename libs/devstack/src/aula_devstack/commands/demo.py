"""`aula demo`."""

import asyncio
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from aula_devstack.commands.interrupts import StopRequestedError, interruptible
from aula_devstack.demo.display import screens
from aula_devstack.demo.story import QUESTION, Outcome, tell
from aula_devstack.errors import DevstackError
from aula_devstack.home import Home
from aula_devstack.people import DemoPeople, demo_people
from aula_devstack.platform import Platform
from aula_devstack.state import StateFile
from aula_devstack.temporary import temporary_home

INTERRUPTED = 130
LEDGER_COLUMNS = ("id", "kind", "amount", "recordedAt")


def run(*, home: Path, pace_ms: float) -> int:
    """Run the demo; the exit status."""
    console = Console(highlight=False)
    state = StateFile(home).running()
    if state is not None and not state.address:
        raise DevstackError(f"the platform of {home} is still starting: try again in a moment")
    if state is not None:
        console.print(f"Using the platform that runs at {state.address}.", markup=False)
        return _show(console, url=state.address, people=demo_people(Home(home).secrets))
    with interruptible():
        try:
            return _in_a_temporary_home(console, pace_ms=pace_ms)
        except StopRequestedError:
            return INTERRUPTED


def _in_a_temporary_home(console: Console, *, pace_ms: float) -> int:
    with temporary_home("aula-demo-") as home:
        platform = Platform(
            home=home,
            pace_ms=pace_ms,
            report=lambda text: console.print(text, style="yellow", markup=False, soft_wrap=True),
        )
        console.print("Starting Aula for this demo …")
        try:
            platform.start()
            return _show(console, url=platform.url, people=platform.people)
        finally:
            platform.stop()


def _show(console: Console, *, url: str, people: DemoPeople) -> int:
    console.print(f"\nada asks: {QUESTION}\n", markup=False)
    with screens(console) as shown:
        try:
            outcome = asyncio.run(
                tell(
                    url=url,
                    people=people,
                    show_student=shown.student,
                    show_supervisor=shown.supervisor,
                )
            )
        except* (DevstackError, httpx.HTTPError, TimeoutError) as group:
            raise DevstackError("; ".join(_leaves(group))) from group
    _show_ledger(console, outcome)
    failures = outcome.failures()
    for failure in failures:
        console.print(f"FAILED: {failure}", style="bold red", markup=False)
    if not failures:
        console.print(
            "\nWhat ada saw, what sam saw and what is stored are the same "
            f"{len(outcome.stored_text)} characters.\n"
            f"{outcome.before} - {outcome.charge} = {outcome.after}, and nothing is held.",
            style="bold green",
        )
    return 1 if failures else 0


def _show_ledger(console: Console, outcome: Outcome) -> None:
    credits_table = Table(title="ada's credits", title_justify="left")
    figures = {
        "before": outcome.before,
        "held during": outcome.held_during,
        "charge": outcome.charge,
        "after": outcome.after,
        "held after": outcome.held_after,
    }
    for column in figures:
        credits_table.add_column(column, justify="right")
    credits_table.add_row(*(str(figure) for figure in figures.values()))
    console.print(credits_table)
    entries = Table(title="The ledger's entries of this answer", title_justify="left")
    for column in LEDGER_COLUMNS:
        entries.add_column(column, overflow="fold")
    for entry in outcome.entries:
        entries.add_row(*(str(entry[column]) for column in LEDGER_COLUMNS))
    console.print(entries)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[str]:
    """What each error of a group, and of the groups in it, says."""
    texts: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            texts += _leaves(error)
        else:
            texts.append(str(error) or type(error).__name__)
    return texts
