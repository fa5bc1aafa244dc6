"""The processes below a process; PostgreSQL's backends are not in its process group."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def descendants(pid: int) -> set[int]:
    """The ids of all processes below this one, itself not included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def wait_gone(pids: Iterable[int], *, patience: float = 5.0) -> None:
    """Wait until these have ended; what still exists after `patience` seconds is killed."""
    deadline = time.monotonic() + patience
    left = {pid for pid in pids if is_alive(pid)}
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = {pid for pid in left if is_alive(pid)}
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _parent(entry: Path) -> int | None:
    try:
        text = (entry / "stat").read_text()
    except OSError:  # it ended meanwhile
        return None
    # the name in parentheses may hold anything, spaces and parentheses included
    return int(text.rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
