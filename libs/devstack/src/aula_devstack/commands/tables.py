"""What is shown in the terminal about a running platform."""

from pathlib import Path

from rich.table import Table

from aula_devstack.people import DemoPeople
from aula_devstack.state import PlatformState


def processes_table(state: PlatformState, *, home: Path) -> Table:
    """What runs where; paths below `home` are shown relative to it."""
    table = Table(title=f"What runs where (in {home})", title_justify="left")
    for column in ("name", "pid", "address"):
        table.add_column(column, no_wrap=True)
    table.add_column("data, log", overflow="fold")
    for process in state.processes:
        table.add_row(
            process.name,
            str(process.pid),
            process.address,
            ", ".join(_short(place, home) for place in (process.data, process.log) if place),
        )
    return table


def sign_ins_table(people: DemoPeople) -> Table:
    """Who can sign in, with which password."""
    table = Table(title="Demo sign-ins", title_justify="left")
    for column in ("username", "password", "role"):
        table.add_column(column, no_wrap=True)
    for person in people:
        table.add_row(person.username, person.password, person.role)
    return table


def _short(place: str, home: Path) -> str:
    path = Path(place)
    return str(path.relative_to(home)) if path.is_relative_to(home) else place
