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
            while True:
                try:
                    await work()
                except AulaError as error:
                    _log.warning("background work failed", task=name, code=error.code)
                except Exception:  # noqa: BLE001 - the next round must run whatever this one did
                    _log.exception("background work failed", task=name)
                await asyncio.sleep(seconds)

        return self.spawn(repeat(), name=name)

    async def close(self, deadline: float = 10) -> None:
        """Cancel what still runs and wait for its end, at most so many seconds."""
        ends_at = asyncio.get_running_loop().time() + deadline
        while tasks := [task for task in self._tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            left = ends_at - asyncio.get_running_loop().time()
            _, running = await asyncio.wait(tasks, timeout=max(0, left))
            if running:
                _log.error("tasks would not end", tasks=[task.get_name() for task in running])
                return

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task died", task=task.get_name(), exc_info=error)
