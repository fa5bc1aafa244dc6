"""The operator's command, as an operator runs it."""

import os
import subprocess
import sys


def accounting(database: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What became of `accounting` with these words, on that database; times are in UTC."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", "from aula_accounting.cli import main; main()", *words],
        env={**os.environ, "DATABASE_URL": database, "TZ": "UTC", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
