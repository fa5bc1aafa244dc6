"""The body in the smallest pieces that a network may make of it, and read at intervals only."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from aiohttp.client_proto import ResponseHandler
from bedrock_builders import bedrock_model, collect, prompt, text_of

from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    ProviderInterruptedError,
    TokenUsage,
)


@asynccontextmanager
async def relay(
    url: str, *, piece: int = 65536, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, Collection[object]]]:
    """A relay to `url` that hands its answers on in pieces of so many bytes.

    Its own address, and what grows by one with each connection.
    """
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

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        address = f"localhost:{server.sockets[0].getsockname()[1]}"
        yield f"{'https' if tls else 'http'}://{address}", ended
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
        relay(bedrock_url, piece=piece) as (url, _),
        bedrock_model(monkeypatch, url) as model,
    ):
        events = await collect(model, prompt(f"[[echo pace=0]] {text}"))
    assert text_of(events) == text
    assert Finish(FinishReason.STOP) in events
    assert isinstance(events[-1], TokenUsage)


@pytest.fixture(params=[False, True], ids=["tcp", "tls"])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    """For a server whom the client trusts; None: without encryption."""
    if not request.param:
        return None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what woke the process."""
    sizes: list[int] = []
    received = ResponseHandler.data_received

    def noted(self: ResponseHandler, data: bytes) -> None:
        if data:  # aiohttp goes on with what it has by calling this too
            sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", noted)
    return sizes


async def test_what_comes_in_haste_wakes_the_process_at_intervals_only(
    monkeypatch: pytest.MonkeyPatch,
    bedrock_url: str,
    tls: ssl.SSLContext | None,
    arrivals: list[int],
) -> None:
    asked = prompt("Explain rain. [[pace=3 tokens=150]]")
    counts: list[tuple[int, int]] = []
    async with relay(bedrock_url, tls=tls) as (url, connections):
        for delta_every in (0, 0.05):
            async with bedrock_model(monkeypatch, url, delta_every=delta_every) as model:
                texts = []
                for _ in range(2):
                    arrivals.clear()
                    events = await collect(model, asked)
                    *deltas, finish, usage = events
                    assert (finish, type(usage)) == (Finish(FinishReason.STOP), TokenUsage)
                    texts.append(text_of(events))
                counts.append((len(deltas), len(arrivals)))
                assert len(set(texts)) == 1
        assert len(connections) == 2, "each client has gone on with the one that it had"
    (many, woken_for_each), (few, woken) = counts
    assert few < many / 3
    assert woken < woken_for_each / 3


async def test_what_came_before_the_connection_broke_is_shown(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, tls: ssl.SSLContext | None
) -> None:
    shown: list[ModelEvent] = []
    async with (
        relay(bedrock_url, tls=tls) as (url, _),
        bedrock_model(monkeypatch, url, attempts=1, delta_every=0.2) as model,
    ):
        with pytest.raises(ProviderInterruptedError):
            await collect(model, prompt("Say it. [[fault=cut@20 pace=1]]"), into=shown)
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        said = await collect(model, prompt("Say it. [[pace=0]]"))
    assert len(shown) < 5
    assert text_of(shown) == text_of(said[:20])
