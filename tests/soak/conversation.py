"""One stream of a soak: who reads, stops and observes it, and what must hold of it afterwards."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from typing import Any

import httpx
from fault_checks import (
    Cell,
    Scene,
    check_log,
    check_settled,
    check_shown,
    logged,
    stream_of,
)
from soak.readers import Follower, follow_to_end, observe
from soak.schedule import Question, Reader
from soak.world import World

_LONGEST_SECONDS = 120
_OBSERVERS_SECONDS = 10
_POLL_SECONDS = 0.02
_QUICK = httpx.Timeout(5.0)


class Conversation:
    """A question, from its asking to the checks after its end."""

    def __init__(self, world: World, scene: Scene, question: Question) -> None:
        self._world = world
        self._scene = scene
        self._question = question
        self._first = Follower(scene.student, world.counts)
        self._others: list[Follower] = []
        self._observer: Follower | None = None
        self._path = f"/api/chat/sessions/{scene.session_id}/stream"

    @property
    def stream_id(self) -> str:
        """Of the stream, once something of it was shown."""
        return self._first.stream_id or f"of {self._scene.session_id}"

    async def run(self) -> None:
        """Ask, and return when all readers know the end. AssertionError if they never do."""
        self._world.counts["streams"] += 1
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                await self._run()
        except TimeoutError as late:
            raise AssertionError(
                f"stream {self.stream_id}: no end within {_LONGEST_SECONDS} s"
            ) from late

    async def _run(self) -> None:
        plan, *joining = self._question.readers
        asks = {
            "json": {"message": self._question.message},
            # so that it may be asked again when the answer to the asking was lost
            "headers": {"Idempotency-Key": secrets.token_hex(8)},
        }
        urls = self._world.urls
        asking = asyncio.create_task(
            follow_to_end(self._first, plan, urls, self._path, asks=asks), name="first reader"
        )
        counting = asyncio.create_task(self._count(), name="count events")
        beside = [self._join(reader, urls) for reader in joining]
        if self._question.stop is not None:
            beside.append(self._stop(*self._question.stop))
        watching = asyncio.create_task(self._observe(), name="observer")
        tasks = [asking, *(asyncio.create_task(each) for each in beside)]
        try:
            await asyncio.gather(*tasks)
            # nobody promised the observer the end, but what it saw must be true
            await asyncio.wait({watching}, timeout=_OBSERVERS_SECONDS)
            if watching.done():
                watching.result()
        finally:
            for task in (*tasks, watching, counting):
                task.cancel()
            await asyncio.gather(*tasks, watching, counting, return_exceptions=True)

    async def _count(self) -> None:
        counted = 0
        while True:
            seen = len(self._first.shown.events)
            self._world.shown += seen - counted
            counted = seen
            await asyncio.sleep(_POLL_SECONDS)

    async def _come_to(self, number: int) -> bool:
        """Wait until the first reader has come so far; False if the stream ended before."""
        while len(self._first.shown.numbered) < number and not self._first.ended:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        return not self._first.ended

    async def _join(self, plan: Reader, urls: dict[str, str]) -> None:
        await self._come_to(plan.joins_at)
        after = self._first.shown.numbered[min(plan.joins_at, len(self._first.shown.numbered)) - 1]
        if after.event in {"complete", "error"}:
            return
        follower = Follower(self._scene.student, self._world.counts, after=after.id)
        self._others.append(follower)
        await follow_to_end(follower, plan, urls, self._path)

    async def _stop(self, number: int, replica: str) -> None:
        if not await self._come_to(number):
            return
        url = f"{self._world.urls[replica]}/api/chat/sessions/{self._scene.session_id}/stop"
        try:
            answer = await self._scene.student.client.post(url, timeout=_QUICK)
        except httpx.HTTPError:
            return
        self._world.counts["stops"] += answer.status_code == httpx.codes.OK

    async def _observe(self) -> None:
        if not self._question.observed or not await self._come_to(2):
            return
        self._observer = Follower(self._world.supervisor, self._world.counts)
        self._world.counts["observed"] += 1
        student, session_id = self._scene.student.id, self._scene.session_id
        await observe(
            self._observer, f"/api/monitoring/students/{student}/sessions/{session_id}/observe"
        )

    async def check(self, where: str, *, log_kept: bool) -> None:
        """All that must hold once everything is at rest; AssertionError names what does not.

        Where the log was `log_kept`, it has told everything to everyone.
        """
        cell = Cell(where, f"stream {self.stream_id}")
        answer = await self._scene.answer()
        cell.check("stored, free and settled", answer)
        assert answer is not None
        cell.check("one stream", self.stream_id == stream_of(answer))
        followers = list(self._followers())
        for follower in followers:
            check_shown(cell, answer, follower.shown, after=follower.after)
            reloads = follower.ended and bool(follower.shown.terminal.get("reload"))
            self._world.counts["reloads"] += reloads
            if log_kept:
                cell.check("told all, not to reload", not reloads)
        if not self._first.shown.terminal.get("reload"):
            cell.check("shown ⊇ stored", self._first.shown.text == answer["content"])
        self._check_same(cell, followers)
        check_log(cell, logged(self._world.platform, stream_of(answer)), answer["content"])
        await check_settled(cell, self._scene, answer)
        self._check_end(cell, answer)
        self._world.counts["checks"] += len(cell.checked)

    def _followers(self) -> Iterator[Follower]:
        yield self._first
        yield from self._others
        if self._observer is not None:
            yield self._observer

    def _check_same(self, cell: Cell, followers: list[Follower]) -> None:
        """All readers were shown the same, byte for byte."""
        known: dict[int, tuple[str, str, str]] = {}
        for follower in followers:
            for event in follower.shown.numbered:
                if not event.json().get("reload"):
                    number = int(event.id.rpartition(".")[2])
                    told = (event.id, event.event, event.data)
                    cell.check("the same for all", known.setdefault(number, told) == told)

    def _check_end(self, cell: Cell, answer: dict[str, Any]) -> None:
        end, counts = self._first.shown.terminal, self._world.counts
        cell.check("told of this message", end["messageId"] == answer["id"])
        if end["event"] == "complete":
            cell.check("told as it is stored", end["status"] == answer["status"])
        else:
            cell.check("told as it is stored", answer["status"] == "interrupted")
        counts[f"ended: {answer['status']}"] += 1
        counts["recovered"] += end.get("code") == "STREAM_INTERRUPTED"
        counts["settled late"] += end["settlement"] == "pending"
        counts["degraded"] += any(follower.degraded for follower in self._followers())


async def together(runs: list[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first that fails ends the others, and its error is raised."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
