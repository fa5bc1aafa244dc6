"""Processes that benches start, and what a process with its children uses."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from aula_devstack.servers.descendants import descendants
from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process

TESTS = Path(__file__).parents[1]
"""Where `bench` is imported from."""
RESULTS = TESTS.parent / ".aula" / "bench"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
_SCHEDULER_CLOCK = 2  # Linux's number for a process's own CPU time, to the nanosecond


class UnderUvicorn(Process):
    """An application of these benches under uvicorn, as quick as it goes, in one process."""

    def __init__(
        self,
        application: str,
        *,
        name: str,
        port: int,
        log_file: Path,
        environment: Mapping[str, str],
        ready_path: str = "/readyz",
    ) -> None:
        """`application`: as uvicorn names it; it is ready when `ready_path` answers 200."""
        environment = {**environment, "PYTHONPATH": str(TESTS)}
        super().__init__(name=name, port=port, log_file=log_file, environment=environment)
        self._application = application
        self._ready_path = ready_path

    def command(self) -> list[str]:
        """The application, or what a function `create_app` makes."""
        factory = ["--factory"] if self._application.endswith(":create_app") else []
        return [
            sys.executable, "-m", "uvicorn", *factory, self._application, "--port", str(self.port),
            "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it serves."""
        return http_status(self.port, self._ready_path) == 200


def family_cpu(process: Process) -> float:
    """CPU seconds of a process with all its children, those that have ended too."""
    return sum(map(_cpu, (process.pid, *descendants(process.pid))))


def family_memory(process: Process) -> tuple[float, float]:
    """Resident megabytes of a process with all its children, shared pages counted in each.

    And how many of them are its own: the rest are pages of files, which all processes that run the
    same programs share.
    """
    each = [_memory(pid) for pid in (process.pid, *descendants(process.pid))]
    return sum(resident for resident, _ in each), sum(own for _, own in each)


def _cpu(pid: int) -> float:
    try:
        own = time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return 0.0
    return own + sum(map(int, fields[13:15])) / _TICKS  # of children that were waited for


def _memory(pid: int) -> tuple[float, float]:
    try:
        resident, of_files = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:  # likewise
        return 0.0, 0.0
    return int(resident) * _PAGE_MB, (int(resident) - int(of_files)) * _PAGE_MB
