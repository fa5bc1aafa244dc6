"""What the bench of streams rests on: its endpoint, its generator, its figures."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from bench.stream.contenders import MODEL, Endpoint, direct, post
from bench.stream.crowd import CROWD, Crowd, each
from bench.stream.endpoint import MARK
from bench.stream.figures import Results, Round, delta_us, fixed_ms
from bench.stream.load import Load, Order, Report
from bench.stream.measure import OWN, Measured
from bench.stream.reader import Reader, Tally
from bench.stream.targets import targets

from aula_chat.clients.bedrock import BedrockModel
from aula_chat.domain.language_models import Finish, Prompt, TextDelta, TokenUsage, Turn
from aula_common.clock import SystemClock
from aula_devstack.servers.ports import Ports


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    process = Endpoint(port=Ports().any("endpoint"), log_file=tmp_path / "endpoint.log")
    try:
        process.start()
        yield process
    finally:
        process.stop()


def _order(endpoint: Endpoint, *, deltas: int, held: bool, end: str | None = None) -> Order:
    contender = direct(endpoint)
    return Order(
        port=endpoint.port,
        endpoint=endpoint.url,
        requests=contender.make_requests(6),
        at_once=3,
        deltas=deltas,
        pace=0.002,
        end=end or contender.end,
        held=held,
        starts_a_second=1000,
        patience=30,
    )


async def test_chats_own_client_reads_what_the_endpoint_sends(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with httpx.AsyncClient(base_url=endpoint.url) as client:
        await client.post("/plan", json={"deltas": 40, "pace": 0.002})
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", endpoint.url)
    prompt = Prompt(model_id=MODEL, turns=(Turn(role="user", text="Why?"),), max_output_tokens=50)
    async with BedrockModel(
        region="us-east-1", clock=SystemClock(), access_key_id="k", secret_access_key="s"
    ) as model:
        events = [event async for event in model.stream(prompt)]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(texts).count(MARK) == 40
    assert [event for event in events if isinstance(event, Finish)]
    assert TokenUsage(input_tokens=20, output_tokens=40) in events


@pytest.mark.parametrize("held", [False, True])
async def test_the_generator_reads_every_stream_of_every_wave(
    endpoint: Endpoint, *, held: bool
) -> None:
    load = Load(_order(endpoint, deltas=30, held=held))
    await load.run()
    assert load.streams.lost == []
    assert load.streams.whole == 6
    assert len(load.streams.first_delta) == 6
    assert len(load.streams.gaps) == 6 * 29


async def test_a_held_stream_flows_only_when_all_are_open(endpoint: Endpoint) -> None:
    async with httpx.AsyncClient(base_url=endpoint.url) as client:
        await client.post("/plan", json={"deltas": 3, "pace": 0.002, "held": True})
        async with client.stream("POST", "/model/x/converse-stream", json={}) as answer:
            pieces = answer.aiter_raw()
            begun = await anext(pieces)
            assert (await client.get("/held")).json() == 1
            assert b"messageStart" in begun
            assert MARK.encode() not in begun
            await client.post("/go")
            rest = b"".join([piece async for piece in pieces])
        assert rest.count(MARK.encode()) == 3
        assert (await client.get("/held")).json() == 0


async def test_observers_ask_at_each_port_in_turn_and_count_apart(endpoint: Endpoint) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + 30 * MARK.encode() + b"messageStop")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as second:
        order = replace(
            _order(endpoint, deltas=30, held=True),
            observers=direct(endpoint).make_requests(4),
            observer_ports=(endpoint.port, second.sockets[0].getsockname()[1]),
            renewal=post("/renew", {}),
        )
        load = Load(order)
        await load.run()
    assert load.streams.lost == load.observers.lost == []
    assert (load.streams.whole, load.observers.whole) == (6, 8)  # in each of two waves
    assert len(asked) == 4


async def test_a_stream_without_its_end_or_short_of_a_delta_is_lost(endpoint: Endpoint) -> None:
    endless = Load(_order(endpoint, deltas=3, held=False, end="never sent"))
    await endless.run()
    assert len(endless.streams.lost) == 6
    tally = Tally()
    short = Reader(b"", deltas=2, end=b"end", tally=tally)
    short.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + MARK.encode() + b" end")
    short.connection_lost(None)
    assert tally.whole == 0
    assert len(tally.lost) == 1


async def test_a_mark_that_comes_in_two_pieces_counts_once() -> None:
    tally = Tally()
    reader = Reader(b"", deltas=2, end=b"end", tally=tally)
    for piece in (b"HTTP/1.1 200 OK\r\n\r\n word~", b"~ word", b" word~", b"~ e", b"nd"):
        reader.data_received(piece)
    reader.connection_lost(None)
    assert tally.whole == 1
    assert len(tally.gaps) == 1


def _measured(*, deltas: int, seconds: float, streams: int = 10) -> Measured:
    report = Report(
        streams=streams, lost=0, losses=(), first_ms=0, gap_ms=0, gap_p99_ms=0, deltas_a_second=0,
        observers_whole=0, cpu_seconds=0, seconds=0,
    )  # fmt: skip
    return Measured(
        streams=streams, at_once=streams, deltas=deltas, pace_ms=20, memory_mb=0, own_mb=0,
        report=report, cpu={OWN: seconds, "MongoDB": 1.0, "endpoint": 5.0, "generator": 5.0},
    )  # fmt: skip


def _costing(*, fixed: float, each: float) -> Round:
    """A round in which a stream costs so many seconds, and each delta of it."""
    return Round(
        short=_measured(deltas=50, seconds=10 * (fixed + 50 * each)),
        long=_measured(deltas=400, seconds=5 * (fixed + 400 * each), streams=5),
    )


def test_the_slope_is_a_deltas_cost_and_the_rest_a_streams() -> None:
    one = _costing(fixed=0.006, each=80e-6)
    assert delta_us()(one) == pytest.approx(80)
    assert fixed_ms()(one) == pytest.approx(6)


def test_all_behind_a_contender_counts_without_those_who_measure() -> None:
    assert _measured(deltas=1, seconds=2.0).used == pytest.approx(3.0)


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    results = Results()
    results.rounds["a", 10] = [_costing(fixed=0, each=each) for each in (2e-6, 30e-6, 400e-6)]
    results.rounds["b", 10] = [_costing(fixed=0, each=each) for each in (1e-6, 10e-6, 100e-6)]
    assert results.ratio(delta_us(), "a", "b", 10) == pytest.approx(3)
    assert results.ratio(delta_us(), "a", "absent", 10) is None


def test_what_an_observer_costs_is_what_it_adds_to_a_stream() -> None:
    rounds = {0: _costing(fixed=0.01, each=300e-6), 50: _costing(fixed=0.26, each=1300e-6)}
    assert each(rounds, 50, delta_us()) == pytest.approx(20)
    assert each(rounds, 50, fixed_ms()) == pytest.approx(5)


def _crowded(*, gap: float, p99: float, whole: int = CROWD) -> Measured:
    measured = _measured(deltas=200, seconds=1)
    report = replace(measured.report, gap_ms=gap, gap_p99_ms=p99, observers_whole=whole)
    return replace(measured, report=report)


@pytest.mark.parametrize(
    ("within", "reached"),
    [
        (_crowded(gap=119, p99=290), [True, True, True]),
        (_crowded(gap=121, p99=290), [True, False, True]),
        (_crowded(gap=100, p99=310), [True, True, False]),
        (_crowded(gap=100, p99=100, whole=CROWD - 1), [False, True, True]),
    ],
)
def test_the_crowds_aims_are_judged_by_the_student_without_it(
    within: Measured, reached: list[bool]
) -> None:
    crowd = Crowd(without=_crowded(gap=100, p99=100, whole=0), within=within)
    assert [met for *_, met in targets(Results(), crowd)] == reached
