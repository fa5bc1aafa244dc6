"""`aula up`."""

import os
import time
from pathlib import Path

from rich.console import Console

from aula_devstack.commands.interrupts import StopRequestedError, interruptible
from aula_devstack.commands.tables import processes_table, sign_ins_table
from aula_devstack.follow import LogFollower
from aula_devstack.platform import Platform

LOOK_SECONDS = 0.1


def run(*, home: Path, port: int | None, fresh: bool, pace_ms: float) -> None:
    """Bring the platform up and keep it until asked to stop. Raises DevstackError."""
    console = Console(highlight=False)
    platform = Platform(
        home=home,
        fixed_ports=True,
        gateway_port=port,
        # of the shell's variables these alone, which name no server that would be replaced
        environment={key: value for key, value in os.environ.items() if key.startswith("OTEL_")},
        pace_ms=pace_ms,
        fresh=fresh,
        report=lambda text: console.print(text, style="yellow", markup=False, soft_wrap=True),
    )
    with interruptible():
        try:
            console.print(f"Starting Aula in {platform.home.path} …", markup=False, soft_wrap=True)
            began = time.monotonic()
            platform.start()
            _show(platform, console, seconds=time.monotonic() - began)
            _follow(platform, console)
        except StopRequestedError:
            console.print("Stopping …")
        finally:
            platform.stop()
    console.print("Everything is stopped.")


def _show(platform: Platform, console: Console, *, seconds: float) -> None:
    state = platform.home.state.running()
    if state is not None:
        console.print(processes_table(state, home=platform.home.path))
    console.print(sign_ins_table(platform.people))
    console.print(f"Aula is ready after {seconds:.1f} s at [bold]{platform.url}[/bold]")
    console.print("See it work: aula demo (in another terminal). Stop: Ctrl-C, or aula down.")


def _follow(platform: Platform, console: Console) -> None:
    follower = LogFollower(platform.processes, console=console)
    follower.skip()
    ended: set[str] = set()
    while True:
        follower.show()
        for process in platform.processes:
            if not process.running and process.name not in ended:
                ended.add(process.name)
                console.print(
                    f"{process.name} ended with status {process.exit_status}; the others go on. "
                    f"Its log: {process.log_file}",
                    style="bold red",
                    markup=False,
                )
        time.sleep(LOOK_SECONDS)
