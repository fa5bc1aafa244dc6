"""Readers in the background: what each was shown so far, and how it ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx
from e2e_people import Person, Shown
from fault_checks import Cell, Scene

from aula_devstack.sse_client import SseEvent


class Reading:
    """One reader; `broken` says whether its connection broke."""

    def __init__(self, stream: AsyncGenerator[SseEvent, None]) -> None:
        self.shown = Shown()
        self.broken = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read(stream), name="read a stream")

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._task.done()

    async def until(self, holds: Callable[[Shown], object], *, within: float = 60) -> None:
        """Return when it was shown what makes this true; AssertionError if it ends before."""
        async with asyncio.timeout(within):
            while not (holds(self.shown) or self.ended):
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({changed, self._task}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        assert holds(self.shown), [event.event for event in self.shown.events]

    async def until_chunks(self, count: int) -> None:
        """Return when it was shown so many pieces of the text."""
        await self.until(lambda shown: chunks(shown) >= count)

    async def end(self, *, within: float = 60) -> Shown:
        """All that it was shown to its end."""
        async with asyncio.timeout(within):
            await asyncio.shield(self._task)
        return self.shown

    async def hang_up(self) -> None:
        """Leave."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, stream: AsyncGenerator[SseEvent, None]) -> None:
        try:
            async with aclosing(stream) as events:
                async for event in events:
                    self.shown.events.append(event)
                    changed, self._changed = self._changed, asyncio.Event()
                    changed.set()
        except httpx.HTTPError:
            self.broken = True


def asking(scene: Scene, base_url: str) -> AsyncGenerator[SseEvent, None]:
    """The events of the scene's story as who asks for it at that address sees them."""
    body = {"message": scene.story}
    return scene.student.events("POST", scene.path, base_url=base_url, json=body)


def following(
    scene: Scene, base_url: str, *, after: str | None = None
) -> AsyncGenerator[SseEvent, None]:
    """The events after that one, or all, as another client at that address sees them."""
    headers = {"Last-Event-ID": after} if after else {}
    return scene.student.events("GET", scene.path, base_url=base_url, headers=headers)


def observing(
    scene: Scene, supervisor: Person, *, follow: bool = False, after: str | None = None
) -> AsyncGenerator[SseEvent, None]:
    """The events, after that one or all, as the student's supervisor sees them by monitoring."""
    path = f"/api/monitoring/students/{scene.student.id}/sessions/{scene.session_id}/observe"
    params = {"follow": "true"} if follow else {}
    headers = {"Last-Event-ID": after} if after else {}
    return supervisor.events("GET", path, params=params, headers=headers)


def chunks(shown: Shown) -> int:
    """How many pieces of the text."""
    return sum(event.event == "chunk" for event in shown.events)


@asynccontextmanager
async def reading(stream: AsyncGenerator[SseEvent, None]) -> AsyncIterator[Reading]:
    """A reader that begins at once and hangs up at the end of the block."""
    reader = Reading(stream)
    try:
        yield reader
    finally:
        await reader.hang_up()


def check_whole(cell: Cell, who: str, shown: Shown, answer: dict[str, object]) -> None:
    """This reader ended with the stored text, one terminal event, no gap and no repeat."""
    cell.check(f"{who}: 1..n", shown.numbers == list(range(1, len(shown.numbers) + 1)))
    cell.check(f"{who}: the whole text", shown.text == answer["content"])
    ended = "complete" if answer["status"] == "complete" else "error"
    cell.check(f"{who}: one end", shown.terminal["event"] == ended)
