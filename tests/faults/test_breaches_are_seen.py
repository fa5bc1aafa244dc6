"""A cell fails when the promise that it checks is broken: each is broken once, on purpose.

The cells run in a process of their own, with a victim or a database that breaks the promise
(`broken_chat`, `broken_accounting`).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import broken_accounting
import broken_chat
import pytest

_HERE = Path(__file__).parent
_SECONDS = 300

PLAIN = "test_answer_of_finalize_is_lost"
BREACHES = [
    ("number_skipped", PLAIN, "numbers without a gap"),
    ("ended_twice", PLAIN, "one terminal event"),
    ("text_lost", PLAIN, "stored ⊇ shown"),
    ("charged_too_much", PLAIN, "charge = price, ≤ hold"),
    ("reserved_twice", PLAIN, "nothing held"),
    ("intent_forgotten", PLAIN, "settled in the end"),
    ("settled_before_stored", "test_killed_later and P6", "complete"),
    ("fence_ignored", "test_asleep_past_its_lease and P3", "stored ⊇ shown"),
    ("fence_missing_in_renewals", "test_wakes_without_redis and P3", "stored ⊇ shown"),
    ("fence_missing_in_ends", "test_wakes_without_redis and P4", "charge = price, ≤ hold"),
    ("log_unguarded", "test_wakes_without_mongodb", "stored ⊇ shown"),
    ("delivered_before_logged", "test_killed_with_an_append_on_its_way", "stored ⊇ shown"),
    ("tombstone_forgotten", "test_initialize_comes_after_its_abort", "refused when it came"),
]


@pytest.mark.deep
@pytest.mark.parametrize(("breach", "cell", "sees"), BREACHES, ids=[row[0] for row in BREACHES])
def test_breach_fails_the_cell_by_the_check_that_guards(breach: str, cell: str, sees: str) -> None:
    command = (sys.executable, "-m", "pytest", str(_HERE), "-m", "deep or not deep", "-k", cell)
    done = subprocess.run(  # noqa: S603 - our own tests
        (*command, "-q", "-x", "-p", "no:cacheprovider"),
        env={**os.environ, broken_chat.VARIABLE: breach},
        cwd=_HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert re.search(rf"AssertionError: .*{re.escape(sees)}", done.stdout), done.stdout


def test_no_breach_is_left_untried() -> None:
    assert {row[0] for row in BREACHES} == {*broken_chat.BREACHES, *broken_accounting.BREACHES}
