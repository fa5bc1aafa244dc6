"""Readers as they are in the world: they leave, lose their connection, and come back anywhere."""

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import Any

import httpx
from e2e_people import TERMINAL, Person, Shown
from soak.schedule import Reader

from aula_devstack.sse_client import SseEvent, SseParser

_TIMEOUT = httpx.Timeout(5.0, read=4.0)
_PAUSE_SECONDS = 0.25
# what a client comes back after
_BUSY = {
    httpx.codes.CONFLICT,
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.BAD_GATEWAY,  # the gateway's, while what is behind it is away
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
}
_NOTHING = {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}


class Follower:
    """One reader's whole history of a stream, over as many connections as it takes."""

    def __init__(self, person: Person, counts: Counter[str], *, after: str = "") -> None:
        """`after`: the id of the event from which on it reads."""
        self.shown = Shown()
        self.after = int(after.rpartition(".")[2]) if after else 0
        self.last_id = after
        self.degraded = False
        self._person = person
        self._counts = counts

    @property
    def stream_id(self) -> str:
        """Of the stream that it reads; empty until something of it was shown."""
        return self.last_id.rpartition(".")[0]

    @property
    def ended(self) -> bool:
        """Whether it was told how the stream ended."""
        return any(event.event in TERMINAL for event in self.shown.events)

    async def read(
        self,
        method: str,
        url: str,
        *,
        leave_after: int | None = None,
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> bool:
        """Read one connection to its end; False if there is nothing to read any more.

        It leaves by itself after `leave_after` events. AssertionError for an answer that no
        single failure excuses.
        """
        headers = {**(headers or {}), **({"Last-Event-ID": self.last_id} if self.last_id else {})}
        self._counts["connections"] += 1
        self._counts["resumes"] += bool(self.last_id)
        try:
            async with self._person.client.stream(
                method, url, headers=headers, timeout=_TIMEOUT, **request
            ) as answer:
                if answer.status_code == httpx.codes.OK:
                    await self._take_all(answer, leave_after)
                elif answer.status_code not in _BUSY | _NOTHING:
                    await answer.aread()
                    raise AssertionError(f"{method} {url}: {answer.status_code} {answer.text}")
                return answer.status_code not in _NOTHING
        except httpx.HTTPError:
            self._counts["connections lost"] += 1
            return True

    async def _take_all(self, answer: httpx.Response, leave_after: int | None) -> None:
        parser, seen = SseParser(), 0
        async with aclosing(answer.aiter_raw()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                for event in parser.feed(piece):
                    seen += self._take(event)
                    if event.event == "reconnect" or seen == leave_after:
                        return

    def _take(self, event: SseEvent) -> bool:
        self.shown.events.append(event)
        self.degraded |= event.event == "degraded"
        if self.shown.numbered[-1:] != [event]:
            return False
        stream_id, _, number = event.id.rpartition(".")
        last = self.last_id.rpartition(".")[2] or "0"
        if not event.json().get("reload"):  # else told to reload, instead of what was between
            assert int(number) == int(last) + 1, f"at stream {stream_id}: numbers without a gap"
        self.last_id = event.id
        return True


async def follow_to_end(
    follower: Follower,
    plan: Reader,
    urls: dict[str, str],
    path: str,
    *,
    asks: dict[str, Any] | None = None,
) -> None:
    """Read until the end was told, as planned: who has seen nothing yet asks anew.

    AssertionError if a process has nothing to tell to one who does not know the end.
    """
    connection = 0
    while not follower.ended:
        url = urls[plan.replicas[connection % len(plan.replicas)]] + path
        leave = plan.leaves[connection] if connection < len(plan.leaves) else None
        connection += 1
        before = len(follower.shown.events)
        if follower.last_id or asks is None:
            more = await follower.read("GET", url, leave_after=leave)
        else:
            more = await follower.read("POST", url, leave_after=leave, **asks)
        assert more or follower.ended, f"stream {follower.stream_id}: came back to nothing at {url}"
        if len(follower.shown.events) == before:
            await asyncio.sleep(_PAUSE_SECONDS)


async def observe(follower: Follower, path: str) -> None:
    """Watch by way of monitoring until the end was told, or nothing runs any more."""
    while not follower.ended:
        before = len(follower.shown.events)
        if not await follower.read("GET", path):
            return
        if len(follower.shown.events) == before:
            await asyncio.sleep(_PAUSE_SECONDS)
