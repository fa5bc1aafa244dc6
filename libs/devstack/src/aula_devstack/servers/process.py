"""One child process: started, watched, signalled and stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from aula_devstack.errors import NotReadyError
from aula_devstack.servers.account import Account
from aula_devstack.servers.descendants import descendants, wait_gone

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
LAST_LINES = 25
INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip


def bound_to_this_process(
    command: list[str], *, death_signal: signal.Signals, account: Account | None = None
) -> list[str]:
    """The words that run a command which gets `death_signal` when this process ends.

    It runs under `account`, if one is given. The thread that forks must live as long as the
    command.
    """
    user, group = (account.user, account.group) if account else (-1, -1)
    numbers = (os.getpid(), int(death_signal), user, group)
    return [sys.executable, "-I", "-S", str(LAUNCH), *map(str, numbers), *command]


def inherited_environment() -> dict[str, str]:
    """The few variables that processes inherit.

    No other does, so that a stray `DATABASE_URL` of the shell changes nothing.
    """
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class Process:
    """A program and how to know that it is ready and how to end it.

    Each server is a subclass that says its command, its readiness probe, its stop signal and its
    data directory. It runs in a session of its own, so that Ctrl-C reaches the parent only, and
    dies with its parent. Must be spawned from the main thread: Linux ties the death signal to the
    thread that forked. Output goes to `log_file`.
    """

    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 15.0
    ready_within: float = 60.0
    data: Path | None = None

    def __init__(
        self, *, name: str, port: int, log_file: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.port = port
        self.log_file = log_file
        self.environment: dict[str, str] = dict(environment or {})
        """Added to the inherited variables; a change takes effect at the next start."""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def shown_address(self) -> str:
        """Where it answers, without a password."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; raises RuntimeError when it was never started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (it may be suspended)."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How it ended, as `subprocess` tells it; None while it runs or before its start."""
        return self._child.poll() if self._child is not None else None

    def command(self) -> list[str]:
        """Program (an absolute path) and arguments."""
        raise RuntimeError(f"{type(self).__name__} has no command")

    def account(self) -> Account | None:
        """The account to run under, when it is not this process' own."""
        return None

    def prepare(self) -> None:
        """What must be there before the start, such as the data directory."""

    def answers(self) -> bool:
        """One readiness probe; must not raise and must be quick."""
        raise RuntimeError(f"{type(self).__name__} has no readiness probe")

    def full_environment(self) -> dict[str, str]:
        """What the process sees: the inherited variables, and `environment`."""
        return {**inherited_environment(), "PYTHONUNBUFFERED": "1", **self.environment}

    def spawn(self) -> None:
        """Start without waiting; nothing happens if it runs already."""
        if self.running:
            return
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.name} must be started from the main thread")
        self.prepare()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                bound_to_this_process(
                    self.command(), death_signal=self.death_signal, account=self.account()
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=self.full_environment(),
            )

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.spawn()
        self.wait_ready()

    def wait_ready(self, timeout: float | None = None) -> None:
        """Return when it answers; NotReadyError when it ends or `timeout` seconds have passed."""
        wait_all_ready([self], timeout=timeout)

    def stop(self) -> None:
        """Ask it to end, wait, and kill it if it does not within `stop_within` seconds."""
        stop_all([self])

    def terminate(self) -> None:
        """Send the stop signal and return at once."""
        self.send_signal(self.stop_signal)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL), and wait until it and its children are gone."""
        if not self.running:
            return
        family = descendants(self.pid)
        self.send_signal(signal.SIGKILL)
        self.wait_ended(self.stop_within)
        wait_gone(family)

    def suspend(self) -> None:
        """Freeze it with all its children (SIGSTOP)."""
        self._signal_family(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        self._signal_family(signal.SIGCONT)

    def restart(self) -> None:
        """Stop if it runs, start on the same port, wait until it is ready."""
        self.stop()
        self.start()

    def send_signal(self, number: signal.Signals) -> None:
        """Send any signal to the process itself; nothing happens if it has ended."""
        if self._child is not None:
            self._child.send_signal(number)

    def wait_ended(self, timeout: float) -> bool:
        """Whether it ended within `timeout` seconds."""
        if self._child is None:
            return True
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_lines(self) -> str:
        """The end of its log."""
        if not self.log_file.exists():
            return "(no log)"
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:]) or "(the log is empty)"

    def not_ready(self, reason: str) -> NotReadyError:
        """The error that tells why, with the end of the log."""
        return NotReadyError(
            name=self.name, reason=reason, log_file=self.log_file, last_lines=self.last_lines()
        )

    def _signal_family(self, number: signal.Signals) -> None:
        if not self.running:
            return
        self.send_signal(number)
        for pid in descendants(self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def wait_all_ready(processes: Iterable[Process], *, timeout: float | None = None) -> None:
    """Wait until each answers; the first that ends, or is late, raises its NotReadyError."""
    waiting = list(processes)
    began = time.monotonic()
    while waiting:
        for process in list(waiting):
            limit = process.ready_within if timeout is None else timeout
            if not process.running:
                raise process.not_ready(f"ended with status {process.exit_status}")
            if process.answers():
                waiting.remove(process)
            elif time.monotonic() - began > limit:
                raise process.not_ready(f"did not become ready within {limit:g} s")
        if waiting:
            time.sleep(POLL_SECONDS)


def stop_all(processes: Iterable[Process]) -> None:
    """Ask all to end at once, then wait for each; what is too slow is killed."""
    families = {process: descendants(process.pid) for process in processes if process.running}
    for process in families:
        process.resume()
        process.terminate()
    for process, family in families.items():
        if not process.wait_ended(process.stop_within):
            process.kill()
        wait_gone(family)
