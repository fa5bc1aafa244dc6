"""`python -m soak`: a seeded random walk over a real platform, for so many minutes."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from soak.walk import Walk
from soak.world import World, populated, started_platform

from aula_devstack.errors import DevstackError
from aula_devstack.platform import Platform
from aula_devstack.testing.failpoints import FailpointDirectory

_LARGEST_SEED = 10**6
_out = Console(highlight=False, soft_wrap=True)


def soak(
    *,
    minutes: Annotated[
        float, typer.Option(min=0, max=55, help="Begin no round after so many.")
    ] = 10,
    rounds: Annotated[int, typer.Option(min=0, help="At most so many; 0: as time permits.")] = 0,
    seed: Annotated[int | None, typer.Option(help="The same walk again. Default: any.")] = None,
    first: Annotated[int, typer.Option(min=1, help="Leave out the rounds before this one.")] = 1,
) -> None:
    """Start, follow, resume, stop, observe, kill, freeze and restart; check that all is kept.

    The seed decides every round: its streams, its readers, its one fault. What is not repeated
    exactly is how their steps interleave. Ends with 1 at the first promise that does not hold.
    """
    if seed is None:
        seed = random.randrange(_LARGEST_SEED)  # noqa: S311 - no secret
    _out.print(f"soak: seed {seed}")
    with started_platform() as (platform, failpoints):
        try:
            world = asyncio.run(_walk(platform, failpoints, seed, minutes, rounds, first))
        except (AssertionError, DevstackError) as broken:
            _out.print(f"soak: BROKEN: {broken}", markup=False)
            _out.print(f"soak: logs in {_keep_logs(platform)}, again with --seed {seed}")
            raise typer.Exit(1) from None
    _summary(world, seed)


async def _walk(
    platform: Platform,
    failpoints: dict[str, FailpointDirectory],
    seed: int,
    minutes: float,
    rounds: int,
    first: int,
) -> World:
    async with populated(platform, failpoints) as world:
        walk = Walk(world, seed, report=_out.print)
        await walk.run(minutes=minutes, rounds=rounds, first=first)
    platform.accounting.run_command("reconcile")
    return world


def _keep_logs(platform: Platform) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="aula-soak-logs-"))
    shutil.copytree(platform.home.path / "logs", kept, dirs_exist_ok=True)
    return kept


def _summary(world: World, seed: int) -> None:
    for name, count in sorted(world.counts.items()):
        _out.print(f"{name:36} {count:6}", markup=False)
    _out.print(f"soak: everything held, seed {seed}")


if __name__ == "__main__":
    typer.run(soak)
