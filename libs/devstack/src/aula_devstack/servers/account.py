"""The account that PostgreSQL runs under, because it refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534


@dataclass(frozen=True)
class Account:
    """Numbers of a user and of its group."""

    user: int
    group: int

    def can_enter(self, path: Path) -> bool:
        """Whether this account can enter the directory, or run the program, at `path`."""
        # asked of the system itself: modes alone miss access lists and mount options
        answer = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
            user=self.user,
            group=self.group,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        return answer.returncode == 0

    def owns(self, path: Path) -> None:
        """Give one file or directory to this account."""
        os.chown(path, self.user, self.group)


def unprivileged_account(existing: Path) -> Account | None:
    """None for an ordinary user; for root the owner of `existing` data, else `nobody`."""
    if os.geteuid() != 0:
        return None
    if existing.exists() and (owner := existing.stat()).st_uid != 0:
        return Account(user=owner.st_uid, group=owner.st_gid)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(user=NOBODY, group=NOBODY)
    return Account(user=entry.pw_uid, group=entry.pw_gid)
