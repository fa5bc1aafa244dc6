"""The body in the smallest pieces that a network may make of it, and read at intervals only."""

import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp.client_proto import ResponseHandler
from bedrock_builders import bedrock_model, collect, prompt, text_of
from bedrock_relay import relay

from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    ProviderInterruptedError,
    TokenUsage,
)


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
