"""How chat's cost grows: with observers of a stream, and with the length of a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.stream import figures
from bench.stream.aula import Aula
from bench.stream.contenders import Contender, Endpoint
from bench.stream.crowd import Crowd, Observing, crowd_table, observers_table
from bench.stream.figures import Results, Round, over
from bench.stream.measure import OWN, Measured, Shape, measure
from bench.stream.tables import make_table, shown
from rich.table import Table

LENGTHS = (10, 1_000, 10_000)
_LONG_CONVERSATIONS = 4
_TURNS = 5  # in each of them
_ANSWER = Shape(at_once=_LONG_CONVERSATIONS, deltas=50, held=False, waves=_TURNS)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A measurement for each size, two for each number of observers."""

    observers: dict[int, Round]
    crowd: Crowd
    lengths: dict[int, Measured]


def measure_growth(
    aula: Aula, chat: Contender, endpoint: Endpoint, *, starts_a_second: float
) -> Growth:
    """Measure all."""
    observing = Observing(aula, chat, endpoint)
    observed, crowd = observing.by_number(), observing.by_crowd()
    lengths: dict[int, Measured] = {}
    for length in LENGTHS:
        conversations = aula.conversations(_LONG_CONVERSATIONS, length=length)
        lengths[length] = measure(
            chat, endpoint, _ANSWER, starts_a_second=starts_a_second,
            requests=aula.requests(conversations) * _TURNS,
        )  # fmt: skip
    return Growth(observers=observed, crowd=crowd, lengths=lengths)


def growth_tables(growth: Growth, results: Results) -> list[Table]:
    """The growth with streams, observers and length."""
    return [
        _streams_table(results),
        observers_table(growth.observers),
        crowd_table(growth.crowd),
        _lengths_table(growth.lengths),
    ]


def _streams_table(results: Results) -> Table:
    table = make_table(
        "chat with more streams at once", "streams", "µs a delta", "fixed ms", "whole ms", left=0
    )
    for (name, at_once), rounds in results.rounds.items():
        if name == "chat":
            table.add_row(
                str(at_once),
                shown(over(rounds, figures.delta_us()), 0),
                shown(over(rounds, figures.fixed_ms()), 2),
                shown(over(rounds, figures.whole_ms())),
            )
    return table


def _lengths_table(measured: dict[int, Measured]) -> Table:
    table = make_table(
        f"streams of {_ANSWER.deltas} deltas in long conversations", "messages before",
        "chat ms a stream", "MongoDB ms", "first token ms", "lost", left=0,
    )  # fmt: skip
    for length, one in measured.items():
        table.add_row(
            str(length),
            shown(1e3 * one.cpu[OWN] / one.streams, 2),
            shown(1e3 * one.cpu.get("MongoDB", 0) / one.streams, 2),
            shown(one.report.first_ms),
            str(one.report.lost),
        )
    return table


def as_json(measured: Mapping[int, Measured | Round]) -> Sequence[dict[str, Any]]:
    """For the file of results."""
    return [{"size": size, **asdict(one)} for size, one in measured.items()]
