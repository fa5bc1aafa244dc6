"""A lean Bedrock endpoint: ConverseStream only, paced, every frame made once before it starts.

`python -m bench.stream.endpoint`. It is there so that the endpoint isn't what bounds a bench: it
looks at no body and verifies no signature, and how long an answer is, is told to it beforehand by
`POST /plan`. One timer serves all streams. Frames and their order are those of AWS.

A plan that holds keeps every answer after its `messageStart` until `POST /go`: then all flow at
once, however slowly they were opened; their ends are spaced again. `GET /held` counts the kept.
"""

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, cast

import typer
import uvloop

from aula_devstack.bedrock.frames import event_frame, text_frame

MARK = "~~"
"""In every delta once, and nowhere else: a reader counts deltas by it in whatever format."""
_WORDS = (
    "water", "light", "field", "river", "stone", "paper", "cloud", "garden", "window", "number",
    "measure", "answer", "question", "reason", "example", "because", "therefore", "between",
    "against", "without", "during", "another", "however", "together", "energy", "matter",
)  # fmt: skip
_TICK = 0.002  # of the timer, in seconds
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-RequestId: 0b6f4f5e-7a57-4c4e-9d6e-5a3d2c1b0a99\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every answer is from now on; `pace` in seconds, `ends_a_second` spaces held ones."""

    deltas: int
    pace: float
    held: bool = False
    ends_a_second: float = 30


def _chunk(frame: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(frame), frame)


_START = _chunk(event_frame("messageStart", {"role": "assistant"}))
_DELTAS = tuple(_chunk(text_frame(f" {word}{MARK}")) for word in _WORDS)
assert all(frame.count(MARK.encode()) == 1 for frame in _DELTAS)


def _end(deltas: int) -> bytes:
    usage = {"inputTokens": 20, "outputTokens": deltas, "totalTokens": deltas + 20}
    frames = (
        event_frame("contentBlockStop", {"contentBlockIndex": 0}),
        event_frame("messageStop", {"stopReason": "end_turn"}),
        event_frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    )
    return b"".join(map(_chunk, frames)) + b"0\r\n\r\n"


class Answers:
    """All answers under way. Each has a slot of a wheel that turns once in a pace."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.held: list[Connection] = []
        self.set_plan(Plan(deltas=1, pace=0.02))
        self._at = 0.0
        self._ticking = False

    def set_plan(self, plan: Plan) -> None:
        """What answers are like from now on; none may be under way."""
        self.plan = plan
        self.end = _end(plan.deltas)
        self._slots: list[list[Connection]] = [[] for _ in range(round(plan.pace / _TICK))]
        self._slot = 0

    def begin(self, connection: "Connection") -> None:
        """Answer a request."""
        connection.write(_HEAD + _START)
        if self.plan.held:
            self.held.append(connection)
        elif connection.send_delta():
            self._slots[self._slot].append(connection)
            self._wake()

    def go(self) -> None:
        """Let all flow that were held, spread evenly over a pace."""
        held, self.held = self.held, []
        for connection, slot in zip(held, itertools.cycle(self._slots), strict=False):
            slot.append(connection)
        self._wake()
        self._ends_from = self._loop.time() + self.plan.deltas * self.plan.pace
        self._ended = 0

    def finish(self, connection: "Connection") -> None:
        """End an answer whose last delta was sent."""
        if not self.plan.held:
            connection.end(self.end)
            return
        at = self._ends_from + self._ended / self.plan.ends_a_second
        self._ended += 1
        self._loop.call_at(at, connection.end, self.end)

    def _wake(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._at = self._loop.time() + _TICK
            self._loop.call_later(_TICK, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        while self._at <= now:
            self._at += _TICK
            self._slot = (self._slot + 1) % len(self._slots)
            waiting = self._slots[self._slot]
            if waiting:
                self._slots[self._slot] = [one for one in waiting if one.send_delta()]
        self._ticking = any(self._slots)
        if self._ticking:
            # uvloop's timers count in whole milliseconds: a shorter rest would be no rest
            self._loop.call_later(math.ceil(1000 * (self._at - now)) / 1000, self._tick)


class Connection(asyncio.Protocol):
    """One connection; its requests come one after another."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._read = bytearray()
        self._transport: asyncio.Transport
        self._deltas: Iterator[bytes] = iter(())
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derives from none

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._read += data
        head_end = self._read.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._read[:head_end])
        body_at = head_end + 4
        fields = _fields(head)
        length = int(fields.get(b"content-length", 0))
        self._closes = fields.get(b"connection", b"").lower() == b"close"
        if len(self._read) < body_at + length:
            return
        body = bytes(self._read[body_at : body_at + length])
        del self._read[: body_at + length]
        self._answer(head.split(b" ", 2)[1], body)

    def write(self, data: bytes) -> None:
        """Send, if anybody is still there."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def send_delta(self) -> bool:
        """Send the next delta; False when it was the last, or the caller has left."""
        if self._transport.is_closing():
            return False
        self._transport.write(next(self._deltas))
        self._left -= 1
        if self._left:
            return True
        self._answers.finish(self)
        return False

    def end(self, data: bytes) -> None:
        """Send the last bytes of an answer."""
        self.write(data)
        if self._closes:
            self._transport.close()

    def _answer(self, path: bytes, body: bytes) -> None:
        if path.endswith(b"/converse-stream"):
            self._left = self._answers.plan.deltas
            self._deltas = itertools.cycle(_DELTAS)
            self._answers.begin(self)
            return
        actions: dict[bytes, Callable[[], object]] = {
            b"/livez": lambda: None,
            b"/plan": lambda: self._answers.set_plan(Plan(**json.loads(body))),
            b"/go": self._answers.go,
            b"/held": lambda: len(self._answers.held),
        }
        action = actions.get(path)
        status = b"200 OK" if action else b"404 Not Found"
        said = json.dumps(action() if action else None).encode()
        self.end(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(said), said))


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    answers = Answers()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main(*, port: Annotated[int, typer.Option()]) -> None:
    """Serve until told to stop."""
    uvloop.run(_serve(port))


if __name__ == "__main__":
    typer.run(main)
