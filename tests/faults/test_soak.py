"""The random walk: a short one holds, a seed repeats it, a broken promise ends it by its name."""

import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import broken_chat
import pytest
from soak.schedule import DECK, REPLICAS, Schedule

_TESTS = Path(__file__).parents[1]
_SECONDS = 600
_SEED = "20"


def walk(*arguments: str, breach: str | None = None) -> "subprocess.CompletedProcess[str]":
    """A soak in a process of its own, as `make soak` runs it."""
    environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
    environment.pop(broken_chat.VARIABLE, None)
    if breach:
        environment[broken_chat.VARIABLE] = breach
    return subprocess.run(  # noqa: S603 - our own module
        (sys.executable, "-m", "soak", "--seed", _SEED, *arguments),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def test_a_seed_always_gives_the_same_rounds() -> None:
    first, again = (list(islice(Schedule(7).rounds(), 60)) for _ in range(2))
    assert first == again
    assert first != list(islice(Schedule(8).rounds(), 60))


def test_each_fault_is_dealt_before_any_comes_again() -> None:
    dealt = [one.strike for one in islice(Schedule(7).rounds(), len(DECK))]
    assert sorted(one.action for one in dealt) == sorted(action for action, _ in DECK)
    assert {one.victim for one in dealt} >= {*REPLICAS, "accounting", "postgres", "redis", "mongo"}


@pytest.mark.deep
def test_a_short_walk_holds() -> None:
    done = walk("--rounds", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^ +\d+ .* streams, ", done.stdout, re.MULTILINE)) == 6
    assert f"everything held, seed {_SEED}" in done.stdout


@pytest.mark.deep
@pytest.mark.parametrize(
    ("breach", "sees"),
    [
        ("number_skipped", "numbers without a gap"),
        ("text_lost", "stored ⊇ shown"),
        ("charged_too_much", "charge = price, ≤ hold"),
    ],
)
def test_a_broken_promise_ends_it_and_is_named(breach: str, sees: str) -> None:
    done = walk("--rounds", "20", breach=breach)
    assert done.returncode == 1, done.stdout + done.stderr
    told = rf"BROKEN: seed {_SEED}, round \d+, .+ at stream str_\w+: {re.escape(sees)}"
    assert re.search(told, done.stdout), done.stdout
