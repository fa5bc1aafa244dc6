"""`aula status`."""

import errno
import os
from pathlib import Path

from rich.console import Console

from aula_devstack.commands.tables import processes_table
from aula_devstack.state import StateFile

NOT_RUNNING = 3  # as in the service scripts of the Linux Standard Base


def run(*, home: Path) -> int:
    """Show what runs where; the exit status."""
    console = Console(highlight=False)
    state = StateFile(home).running()
    if state is None:
        console.print(f"Nothing runs in {home}.", markup=False)
        return NOT_RUNNING
    if not state.address:
        console.print(f"The platform of {home} is starting (process {state.pid}).", markup=False)
        return 0
    console.print(processes_table(state, home=home.absolute()))
    for process in state.processes:
        if not _exists(process.pid):
            console.print(f"{process.name} has ended: see {process.log}", style="red", markup=False)
    console.print(f"Aula is at {state.address} (parent process {state.pid})", markup=False)
    return 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM  # it exists, and is someone else's
    return True
