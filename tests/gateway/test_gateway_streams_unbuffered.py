"""Event streams come through as they happen, and a client's leave goes the other way."""

import asyncio

from gateway.gateway_stack import PATIENCE, Received, Stack

PATH = "/api/chat/sessions/ses_1/stream"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-store\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class EventStream:
    """An answer whose events the test lets happen."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[bytes] = asyncio.Queue()
        self.left = asyncio.Event()

    async def __call__(
        self, _request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve until an empty event ends the stream, or the other side leaves."""
        writer.write(HEAD)
        leaving = asyncio.create_task(reader.read(1))
        while True:
            event = asyncio.create_task(self.events.get())
            await asyncio.wait({event, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                event.cancel()
                self.left.set()
                return
            writer.write(_chunk(event.result()))
            await writer.drain()
            if not event.result():
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
                return


async def _begin(
    stack: Stack, target: str = PATH, head: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await stack.connect()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode())
    async with asyncio.timeout(PATIENCE):
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_each_event_arrives_before_the_next_one_happens(stack: Stack) -> None:
    stream = stack.services["chat"].handler = EventStream()
    reader, writer, head = await _begin(stack, head="Accept-Encoding: gzip, zstd, br\r\n")
    assert b"content-encoding" not in head.lower()
    assert b"text/event-stream" in head.lower()
    assert b"x-accel-buffering: no" in head.lower()
    for number in range(1, 20):
        event = f"id: str_1.{number}\ndata: {{}}\n\n".encode()
        await stream.events.put(event)
        async with asyncio.timeout(PATIENCE):
            assert await reader.readuntil(event)
    await stream.events.put(b"")
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
    writer.close()


async def test_observations_come_through_monitoring_likewise(stack: Stack) -> None:
    stream = stack.services["monitoring"].handler = EventStream()
    reader, writer, _ = await _begin(stack, "/api/chat/sessions/ses_1/observe?follow=true")
    await stream.events.put(b"event: observer\ndata: {}\n\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"event: observer")
    writer.close()
    async with asyncio.timeout(PATIENCE):
        await stream.left.wait()


async def test_a_client_that_leaves_a_silent_stream_is_gone_at_the_service_at_once(
    stack: Stack,
) -> None:
    stream = stack.services["chat"].handler = EventStream()
    _, writer, _ = await _begin(stack)
    writer.transport.abort()
    async with asyncio.timeout(3):
        await stream.left.wait()


async def test_a_stream_outlives_the_deadlines_for_headers(stack: Stack) -> None:
    stream = stack.services["chat"].handler = EventStream()
    reader, writer, _ = await _begin(stack)
    slow_reader, slow_writer = await stack.connect()
    slow_writer.write(b"GET / HTTP/1.1\r\n")
    async with asyncio.timeout(20):
        await slow_reader.read()  # cut by that deadline, which began after the stream
    slow_writer.close()
    await stream.events.put(b"data: late\n\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"data: late")
    writer.close()


async def test_a_break_at_the_service_is_no_proper_end_for_the_client(stack: Stack) -> None:
    stream = stack.services["chat"].handler = EventStream()
    reader, writer, _ = await _begin(stack)
    await stream.events.put(b"data: first\n\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"data: first\n\n")
        await stack.services["chat"].stop()
        rest = await reader.read()
    assert not rest.endswith(b"0\r\n\r\n")
    writer.close()


async def test_a_web_socket_s_upgrade_goes_through(stack: Stack) -> None:
    async def upgrade(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert request.values("Upgrade") == ["websocket"]
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        writer.write(await reader.readexactly(4))

    stack.services["chat"].handler = upgrade
    head = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    reader, writer, answer = await _begin(stack, "/api/chat/ws", head)
    assert answer.startswith(b"HTTP/1.1 101")
    writer.write(b"ping")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(4) == b"ping"
    writer.close()
