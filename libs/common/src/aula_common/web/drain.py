"""The end of a process: not ready at once, running work finishes, then it stops."""

import asyncio
from collections.abc import Awaitable, Callable

from aula_common.logging import get_logger

_log = get_logger(__name__)


class Drain:
    """Whether the process is about to end, and what has to finish before."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self._work: list[Callable[[], Awaitable[None]]] = []

    @property
    def active(self) -> bool:
        """Whether new work is refused."""
        return self.started.is_set()

    def wait_for(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work()` awaited when the drain has begun; it returns when all is finished."""
        self._work.append(work)

    async def run(self, deadline: float) -> None:
        """Refuse new work and wait for the running, at most `deadline` seconds."""
        self.started.set()
        _log.info("drain started", deadline=deadline)
        try:
            async with asyncio.timeout(deadline):
                await asyncio.gather(*(work() for work in self._work))
        except TimeoutError:
            _log.warning("drain deadline passed")
        _log.info("drain ended")
