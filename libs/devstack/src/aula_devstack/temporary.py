"""Temporary directories for servers. pytest's own are closed to other accounts than its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aula_devstack.servers.account import unprivileged_account

ALWAYS_OPEN = Path("/var/tmp")  # noqa: S108 - only ever the parent of a fresh directory


@contextmanager
def temporary_home(prefix: str) -> Iterator[Path]:
    """A fresh directory that the account PostgreSQL runs under can enter; removed afterwards."""
    usual = Path(tempfile.gettempdir())
    account = unprivileged_account(usual / "none")
    parent = usual if account is None or account.can_enter(usual) else ALWAYS_OPEN
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    if os.geteuid() == 0:
        home.chmod(0o711)  # may be passed through, not listed
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
