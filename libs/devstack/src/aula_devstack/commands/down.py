"""`aula down`."""

import os
import signal
import time
from pathlib import Path

from rich.console import Console

from aula_devstack.errors import DevstackError
from aula_devstack.state import StateFile

PATIENCE_SECONDS = 120.0


def run(*, home: Path) -> int:
    """Ask the parent to stop everything and wait until it has; the exit status."""
    console = Console(highlight=False)
    file = StateFile(home)
    state = file.running()
    if state is None:
        console.print(f"Nothing runs in {home}.", markup=False)
        return 0
    try:
        os.kill(state.pid, signal.SIGTERM)
    except PermissionError:
        raise DevstackError(f"process {state.pid} belongs to another user") from None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while file.running() is not None:
        if time.monotonic() > deadline:
            raise DevstackError(f"process {state.pid} did not end in {PATIENCE_SECONDS:g} s")
        time.sleep(0.05)
    console.print("Everything is stopped.")
    return 0
