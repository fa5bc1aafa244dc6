"""The `aula` command: the whole platform on this machine, without Docker."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aula_devstack.commands import demo as demo_command
from aula_devstack.commands import down as down_command
from aula_devstack.commands import status as status_command
from aula_devstack.commands import up as up_command
from aula_devstack.errors import DevstackError
from aula_devstack.servers.bedrock import DEFAULT_PACE_MS
from aula_devstack.workspace import HOME_VARIABLE, default_home

app = typer.Typer(
    name="aula", help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help=f"Where data, logs and secrets are kept. Default: {HOME_VARIABLE}, else .aula in the "
        "checkout.",
    ),
]
PaceOption = Annotated[
    float,
    typer.Option(min=0, help="Milliseconds between two pieces of the local model's answer."),
]


@app.command()
def up(
    *,
    home: HomeOption = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The gateway's port. Default: 8080 or the next free."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove all data first.")] = False,
    pace_ms: PaceOption = DEFAULT_PACE_MS,
) -> None:
    """Start everything, show what runs where, follow the logs until Ctrl-C."""
    up_command.run(home=home or default_home(), port=port, fresh=fresh, pace_ms=pace_ms)


@app.command()
def demo(*, home: HomeOption = None, pace_ms: PaceOption = DEFAULT_PACE_MS) -> None:
    """Show a student's answer streaming while a supervisor watches, then the ledger.

    Uses the platform that runs in the home; if none does, starts one for the occasion.
    Ends with 0 only if both saw what is stored and the credits add up.
    """
    raise typer.Exit(demo_command.run(home=home or default_home(), pace_ms=pace_ms))


@app.command()
def status(*, home: HomeOption = None) -> None:
    """Show what runs where; ends with 3 if nothing runs."""
    raise typer.Exit(status_command.run(home=home or default_home()))


@app.command()
def down(*, home: HomeOption = None) -> None:
    """Stop the platform that runs in the home, from any terminal."""
    raise typer.Exit(down_command.run(home=home or default_home()))


def main() -> None:
    """Run the command; an expected failure is one message and status 1."""
    try:
        app()
    except DevstackError as error:
        Console(stderr=True).print(f"aula: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
