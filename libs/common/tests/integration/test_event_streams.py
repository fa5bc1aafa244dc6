"""Event streams over the real server: readers leave, stop reading, come back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from common_builders import build_app, connected, get, read_answer, serve, until
from fastapi import APIRouter, FastAPI
from structlog.testing import capture_logs

from aula_common.web.protocol import ABORT
from aula_common.web.sse import COMMENT, PART_BYTES, EventStreamResponse, sse_frame


@dataclass
class Streams:
    """An application with streams, and what became of them."""

    closed: list[str] = field(default_factory=list)
    produced: dict[str, int] = field(default_factory=dict)
    silence: asyncio.Event = field(default_factory=asyncio.Event)

    async def numbers(self, name: str, count: int, size: int) -> AsyncIterator[bytes]:
        try:
            for number in range(1, count + 1):
                self.produced[name] = number
                yield sse_frame({"text": "x" * size}, event_id=f"{name}.{number}")
                await asyncio.sleep(0)
        finally:
            self.closed.append(name)

    async def quiet(self, name: str) -> AsyncIterator[bytes]:
        try:
            yield sse_frame("start")
            await self.silence.wait()
            yield sse_frame("end")
        finally:
            self.closed.append(name)

    async def failing(self, name: str) -> AsyncIterator[bytes]:
        try:
            yield sse_frame("start")
            raise ValueError("unexpected")
        finally:
            self.closed.append(name)

    def app(self, *, send_deadline: float = 20, comment_every: float = 15) -> FastAPI:
        router = APIRouter()

        def respond(chunks: AsyncIterator[bytes]) -> EventStreamResponse:
            return EventStreamResponse(
                chunks, send_deadline=send_deadline, comment_every=comment_every
            )

        @router.get("/numbers/{name}")
        async def numbers(name: str, count: int = 3, size: int = 1) -> EventStreamResponse:
            return respond(self.numbers(name, count, size))

        @router.get("/quiet/{name}")
        async def quiet(name: str) -> EventStreamResponse:
            return respond(self.quiet(name))

        @router.get("/failing/{name}")
        async def failing(name: str) -> EventStreamResponse:
            return respond(self.failing(name))

        return build_app(router)


async def read_whole(port: int, path: str) -> bytes:
    body = b""
    async with connected(port, get(path)) as reader:
        await reader.readuntil(b"\r\n\r\n")
        while not body.endswith(b"\r\n0\r\n\r\n"):
            data = await reader.read(65536)
            assert data, "it ended early"
            body += data
    return body


async def test_a_stream_is_sent_whole_with_the_contracts_headers() -> None:
    streams = Streams()
    async with serve(streams.app()) as port, asyncio.timeout(10):
        async with connected(port, get("/numbers/a")) as reader:
            status, headers, _ = await read_answer(reader)
        body = await read_whole(port, "/numbers/b?count=500")
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-cache, no-store"
    assert headers["x-accel-buffering"] == "no"
    assert body.count(b"id: b.") == 500
    assert sorted(streams.closed) == ["a", "b"]


@pytest.mark.parametrize("further", [b"", get("/quiet/b"), get("/quiet/b") * 2])
async def test_a_reader_who_leaves_ends_the_iteration_at_once(further: bytes) -> None:
    streams = Streams()
    async with serve(streams.app()) as port:
        async with connected(port, get("/quiet/a") + further) as reader:
            await reader.readuntil(b'data: "start"\n\n')
        await until(lambda: streams.closed == ["a"], seconds=1)


async def test_a_reader_who_stops_reading_is_cut_and_the_others_are_not() -> None:
    streams = Streams()
    with capture_logs() as lines:
        async with serve(streams.app(send_deadline=0.3, comment_every=0.1)) as port:
            request = get("/numbers/stuck?count=100000&size=10000")
            async with connected(port, request) as stuck, asyncio.timeout(10):
                await stuck.readuntil(b"id: stuck.1\n")
                whole = await read_whole(port, "/numbers/other?count=2000&size=1000")
                assert whole.count(b"id: other.") == 2000
                await until(lambda: "stuck" in streams.closed, seconds=3)
                # what was buffered for the reader is dropped, not kept until it reads
                received = len(await stuck.read())
    given = (
        sse_frame({"text": "x" * 10_000}, event_id=f"stuck.{number}")
        for number in range(1, streams.produced["stuck"])
    )  # the connection has taken all but the last
    sent = sum(len(b"%x\r\n%b\r\n" % (len(event), event)) for event in given)
    assert received < sent - 1000  # more than the beginning that was read before
    assert streams.produced["stuck"] < 100_000
    events = [line["event"] for line in lines]
    assert events.count("reader cut") == 1
    assert "unexpected error" not in events


async def test_a_comment_goes_out_in_quiet_times_and_only_then() -> None:
    streams = Streams()
    async with serve(streams.app(comment_every=0.05)) as port, asyncio.timeout(10):
        async with connected(port, get("/quiet/a")) as reader:
            await reader.readuntil(b'data: "start"\n\n')
            for _ in range(3):
                await reader.readuntil(b"\r\n: \n\n\r\n")
            streams.silence.set()
            assert b'data: "end"' in await reader.readuntil(b"0\r\n\r\n")
        assert b": \n\n" not in await read_whole(port, "/numbers/b?count=200")


async def test_a_reader_gone_in_quiet_times_is_cut_by_the_comments() -> None:
    """Comments too are sent within the deadline: an idle stream's stuck reader is found."""
    streams = Streams()
    sent: list[bytes] = []
    blocked = asyncio.Event()

    async def send(message: dict[str, object]) -> None:
        sent.append(bytes(message.get("body", b"")))  # type: ignore[call-overload]  # bytes
        if message.get("body") == b": \n\n":
            await blocked.wait()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(streams.quiet("a"), send_deadline=0.05, comment_every=0.05)
    async with asyncio.timeout(2):
        await response({"type": "http"}, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert sent[-1] == b": \n\n"
    assert streams.closed == ["a"]


async def test_the_iteration_of_a_reader_who_was_cut_is_closed_and_not_left_to_chance() -> None:
    streams = Streams()
    chunks = streams.numbers("a", count=3, size=1)  # held here, so that nobody else collects it

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(chunks, send_deadline=0.05)
    async with asyncio.timeout(2):
        await response({"type": "http"}, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert streams.closed == ["a"]
    assert streams.produced == {"a": 1}


async def test_a_stream_that_fails_is_closed_and_logged_and_never_looks_whole() -> None:
    streams = Streams()
    with capture_logs() as lines:
        async with serve(streams.app()) as port, connected(port, get("/failing/a")) as reader:
            body = await asyncio.wait_for(reader.read(), 5)
    assert body.endswith(b'data: "start"\n\n\r\n')
    assert streams.closed == ["a"]
    assert "unexpected error" in [line["event"] for line in lines]


async def test_a_request_that_is_cancelled_closes_the_iteration() -> None:
    streams = Streams()
    started = asyncio.Event()

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            started.set()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(streams.quiet("a"))
    task = asyncio.create_task(response({"type": "http"}, receive, send))  # type: ignore[arg-type]  # narrower dicts
    await started.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert streams.closed == ["a"]
    assert {t.get_name() for t in asyncio.all_tasks()} & {"watch the reader"} == set()


async def test_a_request_that_breaks_ends_the_iteration() -> None:
    streams = Streams()

    async def send(message: dict[str, object]) -> None:
        pass

    async def receive() -> dict[str, object]:
        raise ValueError("a body that is none")

    response = EventStreamResponse(streams.quiet("a"))
    async with asyncio.timeout(5):
        await response({"type": "http"}, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert streams.closed == ["a"]


async def test_a_reader_who_leaves_after_a_quiet_time_ends_the_iteration() -> None:
    streams = Streams()
    async with serve(streams.app(comment_every=0.02)) as port:
        async with connected(port, get("/quiet/a")) as reader:
            for _ in range(3):
                await reader.readuntil(COMMENT)
        await until(lambda: streams.closed == ["a"], seconds=1)


async def test_a_large_chunk_goes_out_in_parts_with_no_comment_amid_an_event() -> None:
    streams = Streams()
    sent: list[bytes] = []
    free = asyncio.Semaphore(0)

    async def send(message: dict[str, object]) -> None:
        await free.acquire()
        sent.append(bytes(message.get("body", b"")))  # type: ignore[call-overload]  # bytes

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(streams.numbers("a", count=1, size=100_000), comment_every=0.01)
    serving = asyncio.create_task(response({"type": "http"}, receive, send))  # type: ignore[arg-type]  # narrower dicts
    async with asyncio.timeout(5):
        while not serving.done():
            free.release()
            await asyncio.sleep(0.02)  # more than the quiet after which a comment is due
    assert max(map(len, sent)) <= PART_BYTES
    assert len(sent) > 100_000 // PART_BYTES
    whole = b"".join(sent).replace(b": \n\n", b"")
    assert whole == sse_frame({"text": "x" * 100_000}, event_id="a.1")


async def test_who_was_cut_is_told_to_whoever_counts() -> None:
    streams = Streams()
    cut: list[str] = []

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(
        streams.numbers("a", count=1, size=1), send_deadline=0.05, on_cut=lambda: cut.append("a")
    )
    async with asyncio.timeout(2):
        await response({"type": "http"}, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert cut == ["a"]


@pytest.mark.parametrize("breaking", ["request", "counting"])
async def test_a_cut_that_fails_ends_the_iteration_all_the_same(breaking: str) -> None:
    streams = Streams()
    aborted = asyncio.Event()

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async def receive() -> dict[str, object]:
        await aborted.wait()
        raise ValueError("a body that will never come")

    def count() -> None:
        if breaking == "counting":
            raise ValueError("nothing to count with")

    response = EventStreamResponse(streams.quiet("a"), send_deadline=0.05, on_cut=count)
    scope = {"type": "http", "extensions": {ABORT: aborted.set}}
    async with asyncio.timeout(5):
        await response(scope, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert streams.closed == ["a"]


async def test_a_slow_reader_that_takes_part_after_part_is_not_cut() -> None:
    streams = Streams()
    loop = asyncio.get_running_loop()
    began = loop.time()
    received = 0

    async def send(message: dict[str, object]) -> None:
        nonlocal received
        await asyncio.sleep(0.05)  # each part within the deadline, the whole far beyond it
        received += len(bytes(message.get("body", b"")))  # type: ignore[call-overload]  # bytes

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(streams.numbers("a", 1, 300_000), send_deadline=0.5)
    await response({"type": "http"}, receive, send)  # type: ignore[arg-type]  # narrower dicts
    assert received > 300_000
    assert loop.time() - began > 0.5


async def test_an_event_of_many_parts_waits_for_a_comment_that_is_on_its_way() -> None:
    sent: list[bytes] = []
    commenting, taken = asyncio.Event(), asyncio.Event()
    event = sse_frame({"text": "x" * 3 * PART_BYTES})

    async def chunks() -> AsyncIterator[bytes]:
        await commenting.wait()
        yield event

    async def send(message: dict[str, object]) -> None:
        body = bytes(message.get("body", b""))  # type: ignore[call-overload]  # bytes
        if body == COMMENT and not taken.is_set():
            commenting.set()
            await taken.wait()
        sent.append(body)

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    response = EventStreamResponse(chunks(), comment_every=0.01)
    serving = asyncio.create_task(response({"type": "http"}, receive, send))  # type: ignore[arg-type]  # narrower dicts
    async with asyncio.timeout(5):
        await commenting.wait()
        for _ in range(10):  # whatever could overtake it has its chance
            await asyncio.sleep(0)
        taken.set()
        await serving
    assert b"".join(sent) == COMMENT + event
