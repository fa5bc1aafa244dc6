"""What is shown in the terminal about a running platform."""

from rich.table import Table

from aula_devstack.people import DemoPeople
from aula_devstack.state import PlatformState


def processes_table(state: PlatformState) -> Table:
    """What runs where."""
    table = Table(title="What runs where", title_justify="left")
    for column in ("name", "pid", "address"):
        table.add_column(column, no_wrap=True)
    table.add_column("data / log", overflow="fold")
    for process in state.processes:
        table.add_row(
            process.name,
            str(process.pid),
            process.address,
            "\n".join(place for place in (process.data, process.log) if place),
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
