"""The load generator: opens streams at a steady rate and reads them to their ends.

`python -m bench.stream.load` in a process of its own, so that its CPU time is its own too. It reads
what to do as JSON (an `Order`) from its input and prints a `Report` as JSON.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import httpx
import uvloop
from bench.stream.reader import Reader, Tally, ask

_POLL_SECONDS = 0.05
_RENEW_SECONDS = 3
_SHOWN_LOSSES = 3


@dataclass(frozen=True, kw_only=True)
class Order:
    """Requests are whole HTTP requests as text; `pace` is in seconds."""

    port: int
    endpoint: str
    requests: Sequence[str]
    at_once: int
    """So many requests are opened, then all of them are awaited, then the next so many."""
    deltas: int
    pace: float
    end: str
    held: bool
    """Whether the endpoint begins to answer only when all are open."""
    starts_a_second: float
    patience: float
    """Seconds, for all to be open and for each wave to end; what is late is lost."""
    observers: Sequence[str] = ()
    observer_ports: Sequence[int] = ()
    """Asked in turn by observers; none: `port`."""
    renewal: str | None = None
    """Sent every 3 s while there are observers."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was seen; times are in milliseconds."""

    streams: int
    lost: int
    losses: Sequence[str]
    first_ms: float
    gap_ms: float
    gap_p99_ms: float
    deltas_a_second: float
    """Of one stream: the median."""
    observers_whole: int
    cpu_seconds: float
    seconds: float


class Load:
    """Carries out one order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.streams = Tally()
        self.observers = Tally()
        self._endpoint = httpx.AsyncClient(base_url=order.endpoint, timeout=order.patience)

    async def run(self) -> None:
        """Open and read all streams, wave by wave."""
        order = self._order
        plan = {"deltas": order.deltas, "pace": order.pace, "held": order.held}
        plan["ends_a_second"] = order.starts_a_second
        async with self._endpoint:
            (await self._endpoint.post("/plan", json=plan)).raise_for_status()
            for first in range(0, len(order.requests), order.at_once):
                await self._wave(order.requests[first : first + order.at_once])

    async def _wave(self, requests: Sequence[str]) -> None:
        renewing: asyncio.Task[None] | None = None
        readers = await self._open(requests, self.streams, ports=[self._order.port])
        if self._order.held:
            await self._until_held(readers)
            if self._order.observers:
                renewing = asyncio.create_task(self._renew())
                readers += await self._open_observers()
            (await self._endpoint.post("/go")).raise_for_status()
        ends = [reader.ended for reader in readers]
        _, late = await asyncio.wait(ends, timeout=self._order.patience) if ends else ((), ())
        if renewing is not None:
            renewing.cancel()
        for _ in late:
            self.streams.lost.append("did not end in time")

    async def _open_observers(self) -> list[Reader]:
        """Open them and wait until all are being answered."""
        order = self._order
        ports = order.observer_ports or [order.port]
        readers = await self._open(order.observers, self.observers, ports=ports)
        if readers:
            await asyncio.wait([one.begun for one in readers], timeout=order.patience)
        return readers

    async def _open(
        self, requests: Sequence[str], tally: Tally, *, ports: Sequence[int]
    ) -> list[Reader]:
        began = time.perf_counter()
        readers = []
        for number, request in enumerate(requests):
            at = began + number / self._order.starts_a_second
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            make = partial(
                Reader,
                request.encode(),
                deltas=self._order.deltas,
                end=self._order.end.encode(),
                tally=tally,
            )
            try:
                readers.append(await ask(ports[number % len(ports)], make))
            except OSError as error:
                tally.lost.append(f"not connected: {error}")
        return readers

    async def _until_held(self, readers: Sequence[Reader]) -> None:
        """Wait until the endpoint has every stream that was not refused."""
        deadline = time.perf_counter() + self._order.patience
        while time.perf_counter() < deadline:
            open_ = sum(not reader.ended.done() for reader in readers)
            if (await self._endpoint.get("/held")).json() >= open_:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _renew(self) -> None:
        assert self._order.renewal is not None
        request = self._order.renewal.encode()
        while True:
            told = await ask(self._order.port, lambda: _Told(request))
            await told.ended
            await asyncio.sleep(_RENEW_SECONDS)


class _Told(Reader):
    """A request of which only the end is awaited."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request, deltas=0, end=b"", tally=Tally())


def _percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def main() -> None:
    """Do as ordered."""
    order = Order(**json.load(sys.stdin))
    load = Load(order)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    uvloop.run(load.run())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report = Report(
        streams=len(order.requests),
        lost=len(order.requests) - load.streams.whole,
        losses=load.streams.lost[:_SHOWN_LOSSES] + load.observers.lost[:_SHOWN_LOSSES],
        first_ms=1000 * _median(load.streams.first_delta),
        gap_ms=1000 * _median(load.streams.gaps),
        gap_p99_ms=1000 * _percentile(load.streams.gaps, 0.99),
        deltas_a_second=_median(load.streams.rates),
        observers_whole=load.observers.whole,
        cpu_seconds=usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime,
        seconds=time.perf_counter() - began,
    )
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
