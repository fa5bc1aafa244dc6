"""The end of a process: not ready at once, running work finishes, then it stops."""

import asyncio
from collections.abc import Awaitable, Callable

from aula_common.logging import get_logger

_log = get_logger(__name__)


class Drain:
    """Whether the process is about to end, and what has to finish before."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self._work: list[Callable[[], Awaitable[None]]] = [self.requests_ended]
        self._requests: set[object] = set()
        self._no_request = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether new work is refused."""
        return self.started.is_set()

    def wait_for(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work()` awaited when the drain has begun; it returns when all is finished."""
        self._work.append(work)

    def hold(self) -> Callable[[], None]:
        """Have the drain wait until the function that is returned was called."""
        holder = object()
        self._requests.add(holder)

        def release() -> None:
            self._requests.discard(holder)
            if not self._requests:
                self._no_request.set()

        return release

    async def run(self, deadline: float) -> None:
        """Refuse new work and wait for the running, at most `deadline` seconds."""
        self.started.set()
        _log.info("drain started", deadline=deadline)
        try:
            async with asyncio.timeout(deadline):
                await asyncio.gather(*(_finish(work) for work in self._work))
        except TimeoutError:
            _log.warning("drain deadline passed")
        _log.info("drain ended")

    async def requests_ended(self) -> None:
        """Return when no request is held; none comes after it, once the drain has begun.

        Work that a running request may still begin is over only after this.
        """
        while self._requests:
            self._no_request.clear()
            await self._no_request.wait()


async def _finish(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception:  # noqa: BLE001 - one failure must neither cut other work nor keep us alive
        _log.exception("work failed while draining")
