"""How chat's cost grows: with observers of a stream, and with the length of a conversation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.stream import figures
from bench.stream.aula import Aula
from bench.stream.contenders import Contender, Endpoint
from bench.stream.figures import Results, over
from bench.stream.measure import OWN, Measured, Shape, measure
from bench.stream.tables import make_table, shown
from rich.table import Table

OBSERVERS = (0, 10, 100)
LENGTHS = (10, 1_000, 10_000)
_OBSERVED = Shape(at_once=1, deltas=400, held=True)
_LONG_CONVERSATIONS = 4
_TURNS = 5  # in each of them
_ANSWER = Shape(at_once=_LONG_CONVERSATIONS, deltas=50, held=False, waves=_TURNS)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A measurement for each size."""

    observers: dict[int, Measured]
    lengths: dict[int, Measured]


def measure_growth(
    aula: Aula, chat: Contender, endpoint: Endpoint, *, starts_a_second: float
) -> Growth:
    """Measure both."""
    observed: dict[int, Measured] = {}
    for count in OBSERVERS:
        [conversation] = aula.conversations(1)
        asked, renewal = aula.observers(conversation, count)
        observed[count] = measure(
            chat, endpoint, _OBSERVED, starts_a_second=starts_a_second,
            requests=aula.requests([conversation]), observers=asked, renewal=renewal,
        )  # fmt: skip
    lengths: dict[int, Measured] = {}
    for length in LENGTHS:
        conversations = aula.conversations(_LONG_CONVERSATIONS, length=length)
        lengths[length] = measure(
            chat, endpoint, _ANSWER, starts_a_second=starts_a_second,
            requests=aula.requests(conversations) * _TURNS,
        )  # fmt: skip
    return Growth(observers=observed, lengths=lengths)


def growth_tables(growth: Growth, results: Results) -> list[Table]:
    """The growth with streams, observers and length."""
    return [
        _streams_table(results),
        _observers_table(growth.observers),
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


def _observers_table(measured: dict[int, Measured]) -> Table:
    table = make_table(
        f"one stream of {_OBSERVED.deltas} deltas, observed", "observers", "saw all",
        "chat ms", "µs a delta and observer", "student's gap ms", "p99", left=0,
    )  # fmt: skip
    alone = measured[0].cpu[OWN] if 0 in measured else None
    for count, one in measured.items():
        each = None
        if count and alone is not None:
            each = 1e6 * (one.cpu[OWN] - alone) / one.deltas / count
        table.add_row(
            str(count),
            str(one.report.observers_whole),
            shown(1e3 * one.cpu[OWN], 0),
            shown(each),
            shown(one.report.gap_ms),
            shown(one.report.gap_p99_ms),
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


def as_json(measured: dict[int, Measured]) -> Sequence[dict[str, Any]]:
    """For the file of results."""
    return [{"size": size, **asdict(one)} for size, one in measured.items()]
