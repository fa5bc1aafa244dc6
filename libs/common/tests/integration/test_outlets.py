"""Events past the iterator, over the real server: in order, bounded, and not after the end."""

import asyncio
from collections.abc import AsyncIterator

from common_builders import build_app, connected, get, read_answer, serve, until
from fastapi import APIRouter, FastAPI

from aula_common.web.sse import PART_BYTES, EventStreamResponse, Outlet, sse_frame


class Source:
    """One stream: what the test gives to its outlet comes between its two chunks."""

    def __init__(self) -> None:
        self.outlet = Outlet()
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            yield sse_frame("start")
            self.waiting.set()
            await self.go_on.wait()
            yield sse_frame("end")
        finally:
            self.closed.set()

    def app(self, *, send_deadline: float = 20, comment_every: float = 15) -> FastAPI:
        router = APIRouter()

        @router.api_route("/events", methods=["GET", "HEAD"])
        async def events() -> EventStreamResponse:
            return EventStreamResponse(
                self.chunks(),
                outlet=self.outlet,
                send_deadline=send_deadline,
                comment_every=comment_every,
            )

        return build_app(router)


async def test_an_outlet_sends_between_the_chunks_whole_and_at_once() -> None:
    source = Source()
    assert not source.outlet.take(b"too early")
    async with (
        serve(source.app()) as port,
        connected(port, get("/events")) as reader,
        asyncio.timeout(10),
    ):
        await source.waiting.wait()
        events = [sse_frame({"n": number}) for number in range(3)]
        assert [source.outlet.take(event) for event in events] == [True] * 3
        shown = await reader.readuntil(b'{"n":2}\n\n\r\n')
        source.go_on.set()
        shown += await reader.readuntil(b"0\r\n\r\n")
        assert not source.outlet.take(b"too late")
        await source.closed.wait()
    _, _, body = shown.partition(b"\r\n\r\n")
    sent = [sse_frame("start"), *events, sse_frame("end")]
    assert body == b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in sent) + b"0\r\n\r\n"


async def test_an_outlet_refuses_what_the_connection_would_have_to_wait_with() -> None:
    source = Source()
    async with (
        serve(source.app()) as port,
        connected(port, get("/events")) as reader,
        asyncio.timeout(20),
    ):
        await source.waiting.wait()
        assert not source.outlet.take(b"x" * (PART_BYTES + 1))
        event = sse_frame({"text": "x" * 10_000})
        taken = 0
        while source.outlet.take(event):  # nobody reads: at some time it is full
            taken += 1
            assert taken < 10_000
            await asyncio.sleep(0)
        shown = b""
        while not source.outlet.take(event):  # and takes again when somebody has read
            shown += await reader.read(65536)
        source.go_on.set()
        while not shown.endswith(b"0\r\n\r\n"):
            shown += await reader.read(65536)
    assert shown.count(event) == taken + 1


async def test_what_an_outlet_sends_is_no_quiet_time() -> None:
    source = Source()
    async with (
        serve(source.app(comment_every=0.5)) as port,
        connected(port, get("/events")) as reader,
        asyncio.timeout(20),
    ):
        await source.waiting.wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 1.2:
            assert source.outlet.take(sse_frame("x"))
            await asyncio.sleep(0.01)
        assert source.outlet.take(sse_frame("last"))
        busy = await reader.readuntil(b'"last"\n\n\r\n')
        assert b": \n\n" not in busy
        await reader.readuntil(b": \n\n")
        source.go_on.set()
        await reader.readuntil(b"0\r\n\r\n")


async def test_an_outlet_to_a_reader_who_has_left_sends_nothing() -> None:
    source = Source()
    async with serve(source.app()) as port:
        async with connected(port, get("/events")):
            await source.waiting.wait()
        await until(source.closed.is_set)
        assert not source.outlet.take(sse_frame("x"))


async def test_whoever_asks_for_the_head_gets_no_body() -> None:
    source = Source()
    source.go_on.set()
    request = get("/events").replace(b"GET", b"HEAD") + get("/livez")
    async with serve(source.app()) as port, connected(port, request) as reader:
        status, headers, _ = await read_answer(reader)
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert (await read_answer(reader))[0] == 200
