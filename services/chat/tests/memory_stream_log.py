"""A StreamLog in memory with the fence and the top of the real one, and faults to order."""

import asyncio
from collections.abc import Mapping, Sequence

from aula_chat.domain.events import number_of, split_frames
from aula_chat.domain.ports import LogAnswer, LogAppend
from aula_common.errors import UnavailableError


class MemoryStreamLog:
    """Keeps entries by stream; `away` refuses everything, `lose_answers` appends and says nothing.

    Of the `silent` streams alone no answer comes. `batches` are the appends that arrived; `reads`
    and `refused` count; reads wait while not `open`, appends while not `appending`.
    """

    def __init__(self) -> None:
        self.entries: dict[str, list[tuple[int, bytes]]] = {}
        self.fences: dict[str, int] = {}
        self.stops: set[str] = set()
        self.silent: set[str] = set()
        self.away = False
        self.lose_answers = 0
        self.batches: list[list[LogAppend]] = []
        self.reads = 0
        self.refused = 0
        self.open = asyncio.Event()
        self.open.set()
        self.appending = asyncio.Event()
        self.appending.set()

    def top(self, stream_id: str) -> int:
        """The number that the stream's log ends with."""
        entries = self.entries.get(stream_id)
        return entries[-1][0] if entries else 0

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self.entries.clear()
        self.fences.clear()

    def lose_tail(self, stream_id: str, *, keep: int) -> None:
        """Keep so many entries, as a failover to an older copy does."""
        del self.entries[stream_id][keep:]

    async def append(self, appends: Sequence[LogAppend]) -> list[LogAnswer | None]:
        self._answer()
        self.batches.append(list(appends))
        await self.appending.wait()
        answers = [
            None if item.stream_id in self.silent else self._append(item) for item in appends
        ]
        if self.lose_answers:
            self.lose_answers -= 1
            raise UnavailableError("redis")
        return answers

    async def read(self, positions: Mapping[str, int]) -> dict[str, list[bytes]]:
        self.reads += 1
        await self.open.wait()
        self._answer()
        return {
            stream_id: [
                frame
                for _, data in self.entries.get(stream_id, [])
                for frame in split_frames(data)
                if number_of(frame) > position
            ]
            for stream_id, position in positions.items()
        }

    async def raise_fence(self, stream_id: str, fence: int, *, ttl_seconds: int) -> None:  # noqa: ARG002 - the port's
        self._answer()
        self.fences[stream_id] = max(fence, self.fences.get(stream_id, 0))

    async def ask_stop(self, stream_id: str, *, ttl_seconds: int) -> None:  # noqa: ARG002 - the port's
        self._answer()
        self.stops.add(stream_id)

    async def delete(self, stream_ids: Sequence[str]) -> None:
        self._answer()
        for stream_id in stream_ids:
            self.entries.pop(stream_id, None)

    def _append(self, item: LogAppend) -> LogAnswer:
        top, stop = self.top(item.stream_id), item.stream_id in self.stops
        if self.fences.get(item.stream_id, 0) > item.fence:
            return LogAnswer(accepted=False, top=top, fenced=True, stop_asked=stop)
        if top != item.expected_top:
            return LogAnswer(accepted=False, top=top, fenced=False, stop_asked=stop)
        self.entries.setdefault(item.stream_id, []).append((item.number, item.data))
        self.fences[item.stream_id] = item.fence
        return LogAnswer(accepted=True, top=item.number, fenced=False, stop_asked=stop)

    def _answer(self) -> None:
        if self.away:
            self.refused += 1
            raise UnavailableError("redis")
