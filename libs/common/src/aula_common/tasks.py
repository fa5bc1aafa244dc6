"""Long work: tasks that belong to the process and not to a request."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aula_common.errors import AulaError
from aula_common.logging import get_logger

_log = get_logger(__name__)


class Supervisor:
    """Owns background tasks: keeps them from being collected, logs what they die of, ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start the work; its unexpected end is logged with a traceback."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def every(
        self, seconds: float, work: Callable[[], Awaitable[object]], *, name: str
    ) -> asyncio.Task[Any]:
        """Repeat the work for ever, so many seconds after each end; an error doesn't stop it."""

        async def repeat() -> None:
            this = asyncio.current_task()
            assert this is not None  # noqa: S101 - a coroutine that runs has its task
            while True:
                try:
                    await work()
                except AulaError as error:
                    _log.warning("background work failed", task=name, code=error.code)
                except Exception:  # noqa: BLE001 - the next round must run whatever this one did
                    _log.exception("background work failed", task=name)
                if this.cancelling():
                    return  # the work has swallowed the cancellation
                await asyncio.sleep(seconds)

        return self.spawn(repeat(), name=name)

    async def close(self, deadline: float = 10) -> None:
        """Cancel what still runs and wait for its end, at most so many seconds.

        Asked once more at half the time: code that a task awaits may swallow a cancellation
        (`asyncio.wait_for` of Python 3.11 does, when what it waits for ends at that moment).
        """
        now = asyncio.get_running_loop().time()
        if not await self._cancel_until(now + deadline / 2):
            await self._cancel_until(now + deadline)
        if running := self._running():
            _log.error("tasks would not end", tasks=[task.get_name() for task in running])

    async def _cancel_until(self, ends_at: float) -> bool:
        """Cancel each task once, those too that others start at their end; whether all ended."""
        while tasks := self._running():
            for task in tasks:
                task.cancel()
            left = ends_at - asyncio.get_running_loop().time()
            _, running = await asyncio.wait(tasks, timeout=max(0, left))
            if running:
                return False
        return True

    def _running(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks if not task.done()]

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task died", task=task.get_name(), exc_info=error)
