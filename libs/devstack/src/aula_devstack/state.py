"""Who runs a home's platform, and what runs where, for `aula status` and `aula down`."""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from aula_devstack.errors import AlreadyRunningError

BRIEFLY = 0.2


@dataclass(frozen=True)
class ProcessState:
    """One row of the table."""

    name: str
    pid: int
    address: str
    data: str
    log: str


@dataclass(frozen=True)
class PlatformState:
    """What the state file says. `pid` is the parent's."""

    pid: int
    address: str
    processes: tuple[ProcessState, ...]


class StateFile:
    """`state.json` of a home, and the lock that its platform's parent holds while it runs.

    The lock is the system's: it goes with the parent, however that ends, so a state file that is
    left over deceives nobody.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / "state.json"
        self._lock_path = home / "lock"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Take the home for this process; raises AlreadyRunningError if another has it."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + BRIEFLY
        while not _locked(lock, fcntl.LOCK_EX):
            # someone who only asks for the status holds it for an instant
            if time.monotonic() > deadline:
                os.close(lock)
                state = self._stored()
                raise AlreadyRunningError(home=self._home, pid=state.pid if state else None)
            time.sleep(0.01)
        self._lock = lock
        # whoever is refused meanwhile is told by whom
        self.save(PlatformState(pid=os.getpid(), address="", processes=()))

    def release(self) -> None:
        """Give the home back."""
        if self._lock is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def save(self, state: PlatformState) -> None:
        """Replace what is stored."""
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(state), indent=2))
        beside.replace(self._path)

    def running(self) -> PlatformState | None:
        """The platform that runs in this home now, if one does."""
        if not self._lock_path.exists():
            return None
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return None if _locked(lock, fcntl.LOCK_SH) else self._stored()
        finally:
            os.close(lock)

    def _stored(self) -> PlatformState | None:
        try:
            raw = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return PlatformState(
            pid=raw["pid"],
            address=raw["address"],
            processes=tuple(ProcessState(**row) for row in raw["processes"]),
        )


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
