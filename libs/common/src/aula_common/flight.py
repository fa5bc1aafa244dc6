"""One run of some work for all who ask for it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Work that runs in a task of its own, once for all who ask while it runs.

    Whoever is cancelled while waiting cancels nothing but the waiting; a failure is every
    waiter's, and the next who asks starts anew.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], *, name: str) -> None:
        self._work = work
        self._name = name
        self._task: asyncio.Task[T] | None = None

    @property
    def running(self) -> bool:
        """Whether the work is under way."""
        return self._task is not None and not self._task.done()

    def start(self) -> asyncio.Task[T]:
        """The run under way, or a new one; the caller need not wait for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)
            self._task.add_done_callback(_observe)
        return self._task

    async def join(self) -> T:
        """The result of the run under way, or of a new one."""
        return await asyncio.shield(self.start())

    async def _run(self) -> T:
        return await self._work()


def _observe(task: asyncio.Task[T]) -> None:
    """Take note of a failure that nobody waits for, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()
