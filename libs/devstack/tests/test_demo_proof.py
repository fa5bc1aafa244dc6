"""The demo's verdict and its two ways of showing."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aula_devstack.demo.display import LINE, screens
from aula_devstack.demo.story import Outcome

GOOD = Outcome(
    student_text="blue",
    supervisor_text="blue",
    stored_text="blue",
    before=1000,
    held_during=8,
    charge=3,
    after=997,
    held_after=0,
    entries=({"kind": "hold", "amount": 8}, {"kind": "charge", "amount": 3}),
)


def test_a_good_run_has_no_failures() -> None:
    assert GOOD.failures() == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (replace(GOOD, supervisor_text="blu"), "saw different texts"),
        (replace(GOOD, stored_text="blue!"), "what is stored is not"),
        (replace(GOOD, after=996), "1000 - 3 is not 996"),
        (replace(GOOD, held_after=5), "5 credits are still held"),
        (replace(GOOD, held_during=0), "no credits were held"),
        (replace(GOOD, entries=()), "ledger's charges are not 3"),
        (replace(GOOD, student_text="", supervisor_text="", stored_text=""), "saw no text"),
    ],
)
def test_each_thing_that_is_wrong_is_named(broken: Outcome, says: str) -> None:
    assert [says in failure for failure in broken.failures()] == [True]


@given(st.lists(st.text(alphabet="ab \n", max_size=40), max_size=30))
def test_without_a_terminal_lines_are_shown_and_no_word_is_lost(pieces: list[str]) -> None:
    out = io.StringIO()
    with screens(Console(file=out, width=40)) as shown:
        for piece in pieces:
            shown.student(piece)
    lines = out.getvalue().splitlines()
    assert all(line.startswith("ada (student)    | ") for line in lines)
    assert all(len(line) <= LINE + len("ada (student)    | ") for line in lines)
    told = "".join(line.removeprefix("ada (student)    | ") for line in lines)
    assert "".join(told.split()) == "".join("".join(pieces).split())


def test_on_a_terminal_both_texts_stand_beside_one_another() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with screens(console) as shown:
        shown.student("the sky is blue")
        shown.supervisor("the sky is blue")
    assert any(line.count("the sky is blue") == 2 for line in out.getvalue().splitlines())
