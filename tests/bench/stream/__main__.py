"""`python -m bench.stream`: what a stream costs, beside others before the same endpoint."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from bench.processes import RESULTS
from bench.stream import contenders, litellm
from bench.stream.aula import Aula
from bench.stream.contenders import Contender, Endpoint, Nginx
from bench.stream.figures import Results, Round
from bench.stream.growth import Growth, as_json, growth_tables, measure_growth
from bench.stream.measure import Measured, Shape, measure, pace_for
from bench.stream.tables import apart_table, contenders_table, plain_table
from bench.stream.targets import plain_figures, targets
from rich.console import Console

from aula_devstack.servers.ports import Ports
from aula_devstack.temporary import temporary_home

_out = Console(highlight=False, soft_wrap=True, width=150)
_NAMES = ("direct", "bare", "nginx", "LiteLLM", "chat")
_USUAL = (10, 50, 200)
_MOST = 500
_WARM_UP = Shape(at_once=10, deltas=20, held=False, waves=2)
_QUICK = Shape(at_once=10, deltas=400, held=False, pace_ms=4)
_FEW = 20  # streams at once, below which short ones are measured twice over
_STARTS_OF_MOST = 8  # a second; the embedded MongoDB refuses more beside so many leases
_QUICK_STARTS = 100  # a second, of held streams of those who have no database behind them


class Bench:
    """One run: what it is asked for and what it found."""

    def __init__(
        self, *, endpoint: Endpoint, lengths: tuple[int, int, int], pace_ms: float, starts: float
    ) -> None:
        self._endpoint = endpoint
        self._short, self._whole, self._long = lengths
        self._pace_ms = pace_ms
        self._starts = starts
        self.results = Results()

    def measure(self, contender: Contender, shape: Shape) -> Measured:
        """One measurement; losses are told at once."""
        slow = contender.behind or not shape.held
        starts = self._starts if slow else max(self._starts, _QUICK_STARTS)
        if contender.behind and shape.at_once >= _MOST:
            starts = min(starts, _STARTS_OF_MOST)
        done = measure(contender, self._endpoint, shape, starts_a_second=starts)
        for loss in done.report.losses:
            _out.print(f"{contender.name} lost a stream: {loss}", markup=False)
        return done

    def warm_up(self, contender: Contender) -> None:
        """Let it import and connect what it needs."""
        self.measure(contender, _WARM_UP)

    def round(self, contender: Contender, at_once: int) -> None:
        """Measure a contender once with so many streams."""
        pace = pace_for(at_once, self._pace_ms)
        waves = 2 if at_once <= _FEW else 1
        one = Round()
        if contender.name != "direct":
            most = self._long if at_once < _MOST else self._whole
            long = min(most, contender.longest.get(at_once, most))
            for name, deltas, times in (("short", self._short, waves), ("long", long, 1)):
                shape = Shape(at_once=at_once, deltas=deltas, held=True, waves=times, pace_ms=pace)
                setattr(one, name, self.measure(contender, shape))
        if at_once < _MOST:
            # they overlap: so slow that the first still flows when the last is opened
            pace = max(pace, 1000 * at_once / self._starts / self._whole)
            shape = Shape(at_once=at_once, deltas=self._whole, held=False, pace_ms=pace)
            one.whole = self.measure(contender, shape)
        self.results.rounds.setdefault((contender.name, at_once), []).append(one)

    def growth(self, aula: Aula, chat: Contender) -> Growth:
        """Measure the growth of chat's cost."""
        return measure_growth(aula, chat, self._endpoint, starts_a_second=self._starts)


def bench(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved; medians are shown.")] = 2,
    streams: Annotated[
        list[int] | None, typer.Option(help="At once. Default: 10, 50, 200; 500 in one round.")
    ] = None,
    lengths: Annotated[
        tuple[int, int, int], typer.Option(help="Deltas of short, whole and long streams.")
    ] = (50, 200, 400),
    pace: Annotated[
        float, typer.Option(min=2, help="ms between deltas; more beyond 10,000 deltas a second.")
    ] = 20,
    starts: Annotated[float, typer.Option(min=1, help="Streams that start in a second.")] = 30,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(_NAMES)}.")] = None,
    growth: Annotated[bool, typer.Option(help="Whether to measure chat's growth of cost.")] = True,
) -> None:
    """Compare chat with LiteLLM, a bare pass-through and nginx; print tables, write JSON.

    It measures and judges nothing: a slow machine fails nothing, an unbalanced ledger does.
    """
    chosen = only or list(_NAMES)
    if unknown := set(chosen) - set(_NAMES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is none of {', '.join(_NAMES)}")
    with _started(chosen) as (endpoint, aula, everyone):
        run = Bench(endpoint=endpoint, lengths=lengths, pace_ms=pace, starts=starts)
        chat = next((one for one in everyone if one.name == "chat"), None)
        quick = grown = None
        try:
            for contender in everyone:
                run.warm_up(contender)
            if chat:
                quick = run.measure(chat, _QUICK)  # before there were many
            for number in range(rounds):
                sizes = streams or [*_USUAL, *([] if number else [_MOST])]
                _measure_round(run, everyone, sizes, number)
            if aula and chat:
                grown = run.growth(aula, chat) if growth else None
        finally:  # Ctrl-C shows what was measured until then
            _print(run.results, quick, grown)
            _write(run.results, quick, grown)
        if aula:
            _out.print(aula.reconcile())


def _measure_round(
    run: Bench, everyone: Sequence[Contender], sizes: Sequence[int], number: int
) -> None:
    for at_once in sizes:
        # each round begins with another one, so that none always follows the same
        turn = number % len(everyone)
        for contender in (*everyone[turn:], *everyone[:turn]):
            if at_once <= contender.most:
                _out.print(f"round {number + 1}: {at_once} streams, {contender.name}")
                run.round(contender, at_once)


@contextmanager
def _started(names: Sequence[str]) -> Iterator[tuple[Endpoint, Aula | None, list[Contender]]]:
    """The endpoint and the contenders of these names, running."""
    ports = Ports()
    with temporary_home("aula-bench-") as home:
        endpoint = Endpoint(port=ports.any("endpoint"), log_file=home / "endpoint.log")
        aula = Aula(endpoint, ports=ports, home=home / "aula") if "chat" in names else None
        everyone = [contenders.direct(endpoint)] if "direct" in names else []
        if "bare" in names:
            everyone.append(contenders.bare(endpoint, ports=ports, home=home))
        if "nginx" in names and Nginx.program is None:
            _out.print("nginx is not installed: left out")
        elif "nginx" in names:
            everyone.append(contenders.nginx(endpoint, ports=ports, home=home))
        if "LiteLLM" in names:
            litellm.install(_out.print)
            everyone.append(contenders.litellm(endpoint, ports=ports, home=home))
        single = [endpoint, *(one.process for one in everyone if one.process is not endpoint)]
        try:
            for process in single:
                process.start()
            if aula:
                aula.start()
                everyone.append(aula.contender())
            yield endpoint, aula, everyone
        finally:
            if aula:
                aula.stop()
            for process in reversed(single):
                process.stop()


def _print(results: Results, quick: Measured | None, growth: Growth | None) -> None:
    crowd = growth.crowd if growth else None
    _out.print(contenders_table(results), apart_table(results))
    if "nginx" not in {name for name, _ in results.rounds}:
        _out.print("nginx was not measured.")
    _out.print(plain_table(targets(results, crowd), title="aims"))
    if growth:
        for table in growth_tables(growth, results):
            _out.print(table)
        for loss in growth.crowd.within.report.losses:
            _out.print(f"lost with the crowd: {loss}", markup=False)
    if quick:
        _out.print(plain_table(plain_figures(quick, results), title="chat, plainly"))


def _write(results: Results, quick: Measured | None, growth: Growth | None) -> None:
    cases: list[dict[str, Any]] = [
        {"by": name, "streams": at_once, "rounds": [asdict(one) for one in rounds]}
        for (name, at_once), rounds in results.rounds.items()
    ]
    document = {
        "at": datetime.now(UTC).isoformat(),
        "cases": cases,
        "aims": targets(results, growth.crowd if growth else None),
        "quick": asdict(quick) if quick else None,
        "observers": as_json(growth.observers) if growth else None,
        "crowd": asdict(growth.crowd) if growth else None,
        "lengths": as_json(growth.lengths) if growth else None,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "stream.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(bench)
