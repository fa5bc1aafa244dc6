"""The body in the smallest pieces that a network may make of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from bedrock_builders import bedrock_model, collect, prompt, text_of

from aula_chat.domain.language_models import Finish, FinishReason, TokenUsage


@asynccontextmanager
async def relay(url: str, *, piece: int) -> AsyncIterator[str]:
    """A TCP relay to `url` that hands its answers on in pieces of so many bytes."""
    target = urlsplit(url)
    ended: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ended.add(task)
        there, upstream = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(
            _pass_on(reader, upstream, piece=65536), _pass_on(there, writer, piece=piece)
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*ended)  # the client has closed its connections by now


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, piece: int
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            for start in range(0, len(data), piece):
                writer.write(data[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)  # lets the piece leave before the next is written
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("piece", [1, 7, 64])
async def test_frames_may_arrive_in_any_pieces(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, piece: int
) -> None:
    text = "Grüße 🦉 und mehr"
    async with (
        relay(bedrock_url, piece=piece) as url,
        bedrock_model(monkeypatch, url) as model,
    ):
        events = await collect(model, prompt(f"[[echo pace=0]] {text}"))
    assert text_of(events) == text
    assert Finish(FinishReason.STOP) in events
    assert isinstance(events[-1], TokenUsage)
