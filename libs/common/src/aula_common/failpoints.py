"""Failpoints: named places where a test makes a process fail, exactly there and once.

Off unless the process is given a directory; then a file `<name>.armed` in it says what happens the
next time the place is reached. It is renamed to `<name>.struck` first, so a test can see that the
fault really struck, and nothing strikes twice.
"""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

_log = get_logger(__name__)
_POLL_SECONDS = 0.02
_SOON_SECONDS = 0.1


class ArmedFailpoints:
    """Failpoints that files in a directory arm.

    The content of `<name>.armed` is an action, with `@n` for the n-th time from the process's
    start that the place is reached: `exit` (SIGKILL), `exit-soon` (SIGKILL a tenth of a second
    later, in which the rest of the process goes on), `freeze` (SIGSTOP), `raise`
    (UnavailableError: placed after a call, its answer is lost), `pause` (until `<name>.go`
    exists, which it removes).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reached: Counter[str] = Counter()

    async def reach(self, name: str) -> None:
        """Do what the place is armed with, if it is."""
        self._reached[name] += 1
        armed = self._directory / f"{name}.armed"
        try:
            action, _, count = armed.read_text().strip().partition("@")
            if count and self._reached[name] < int(count):
                return
            armed.replace(self._directory / f"{name}.struck")
        except FileNotFoundError:
            return  # not armed, or disarmed meanwhile
        _log.warning("failpoint struck", failpoint=name, action=action)
        await self._strike(name, action)

    async def _strike(self, name: str, action: str) -> None:
        match action:
            case "exit":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit-soon":
                await asyncio.sleep(_SOON_SECONDS)
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "raise":
                raise UnavailableError(f"failpoint {name}")
            case "pause":
                go = self._directory / f"{name}.go"
                while not go.exists():  # noqa: ASYNC110 - the test is another process
                    await asyncio.sleep(_POLL_SECONDS)
                go.unlink()
            case _:
                raise ValueError(action)
