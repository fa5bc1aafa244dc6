"""The load generator: clients on kept connections, each with one request under way.

`python -m bench.accounting.load` in a process of its own, so that its CPU time is its own too. It
speaks just enough HTTP: a client library would cost more than the service that it asks.
"""

import asyncio
import json
import random
import resource
import secrets
import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import typer
import uvloop

MODEL = "anthropic.claude-3-sonnet-20240229-v1:0"
_PATIENCE_SECONDS = 30
_RESERVED, _SETTLED = b"HTTP/1.1 201", b"HTTP/1.1 200"
_CREATED_BODY = (
    b'{"sessionId":"%s","userId":"%s","modelId":"%s","inputTokens":500,"maxOutputTokens":500}'
)
_SETTLE_BODY = b'{"sessionId":"%s","userId":"%s","inputTokens":0,"outputTokens":300}'


def user_id(number: int) -> str:
    """The number-th user of the bench."""
    return f"usr_{number}"


@dataclass
class Tally:
    """What all clients did."""

    ends_at: float
    users: int
    running: int = 0
    pairs: int = 0
    seconds: list[float] = field(default_factory=list)
    refused: bytes = b""


class Client(asyncio.Protocol):
    """Reserves and settles, for ever another stream of a random user."""

    def __init__(self, prefix: str, heads: tuple[bytes, bytes], tally: Tally) -> None:
        self._prefix = prefix
        self._heads = heads
        self._tally = tally
        self._buffer = b""
        self._reserving = True
        self._session = self._user = b""
        self._number = 0
        self._since = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none by class
        """Begin."""
        self._transport = transport
        self._reserve()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one; the next request follows it."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.lower().index(b"content-length:") + 15
        length = int(self._buffer[at : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < head + 4 + length:
            return
        answer, self._buffer = self._buffer, b""
        if not answer.startswith(_RESERVED if self._reserving else _SETTLED):
            self._tally.refused = answer
            self._transport.close()
        elif self._reserving:
            self._send(1, _SETTLE_BODY % (self._session, self._user))
            self._reserving = False
        else:
            self._tally.pairs += 1
            self._tally.seconds.append(time.perf_counter() - self._since)
            self._reserving = True
            self._reserve()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """End."""
        if not self.ended.done():
            self.ended.set_result(None)

    def _reserve(self) -> None:
        self._since = time.perf_counter()
        if self._since >= self._tally.ends_at:
            self._transport.close()
            return
        self._number += 1
        self._session = f"{self._prefix}_{self._number}".encode()
        self._user = user_id(random.randint(1, self._tally.users)).encode()  # noqa: S311 - no secret
        self._send(0, _CREATED_BODY % (self._session, self._user, MODEL.encode()))

    def _send(self, which: int, body: bytes) -> None:
        head = self._heads[which] % (self._session, len(body))
        self._transport.write(head + body)


def _head(path: str, token: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: accounting\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n"
    ).encode()


async def _run(
    port: int, prefix: str, token: str, clients: int, seconds: float, users: int
) -> Tally:
    tally = Tally(ends_at=time.perf_counter() + seconds, users=users)
    heads = (_head(f"{prefix}/initialize", token), _head(f"{prefix}/finalize", token))
    loop = asyncio.get_running_loop()
    running = []
    for _ in range(clients):
        mark = f"str_{secrets.token_hex(8)}"
        make = partial(Client, mark, heads, tally)
        _, client = await loop.create_connection(make, "127.0.0.1", port)
        running.append(client.ended)
    async with asyncio.timeout(seconds + _PATIENCE_SECONDS):
        await asyncio.gather(*running)
    return tally


def load(
    *,
    port: Annotated[int, typer.Option()],
    prefix: Annotated[str, typer.Option()],
    token: Annotated[str, typer.Option(envvar="BENCH_TOKEN")],
    clients: Annotated[int, typer.Option(min=1)],
    seconds: Annotated[float, typer.Option(min=0.1)],
    users: Annotated[int, typer.Option(min=1)],
) -> None:
    """Ask for so many seconds; prints what was done as JSON."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    tally = uvloop.run(_run(port, prefix, token, clients, seconds, users))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    took = time.perf_counter() - started
    print(  # noqa: T201 - read by the bench
        json.dumps(
            {
                "pairs": tally.pairs,
                "pairs_per_second": tally.pairs / took,
                "median_ms": 1000 * statistics.median(tally.seconds) if tally.seconds else None,
                "cpu_seconds": usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime,
                "seconds": took,
                "refused": tally.refused.decode(errors="replace"),
            }
        )
    )


if __name__ == "__main__":
    typer.run(load)
