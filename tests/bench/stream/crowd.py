"""What observers of a stream cost, and what its student feels of a thousand of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.stream import figures
from bench.stream.aula import Aula
from bench.stream.contenders import Contender, Endpoint
from bench.stream.figures import Figure, Round, delta_us, fixed_ms
from bench.stream.measure import OWN, Measured, Shape, measure
from bench.stream.tables import make_table, shown
from rich.table import Table

OBSERVERS = (0, 10, 100, 500)
"""At one process."""
CROWD = 1_000
"""At two processes, half of them at each."""
_SHORT = Shape(at_once=1, deltas=50, held=True, pace_ms=40)
_LONG = replace(_SHORT, deltas=250)
_CROWDED = Shape(at_once=1, deltas=200, held=True, pace_ms=100)
_STARTS = 60  # observers that come in a second
_SECOND = "second chat"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """The same stream without and with the crowd, while two chat processes run."""

    without: Measured
    within: Measured


@dataclass(frozen=True)
class Observing:
    """Has a stream observed."""

    aula: Aula
    chat: Contender
    endpoint: Endpoint

    def by_number(self) -> dict[int, Round]:
        """Short and long streams with each number of observers at one process."""
        return {
            count: Round(
                short=self._measure(self.chat, _SHORT, count),
                long=self._measure(self.chat, _LONG, count),
            )
            for count in OBSERVERS
        }

    def by_crowd(self) -> Crowd:
        """A stream of 10 events a second at one of two processes."""
        with self.aula.second_chat() as second:
            both = replace(self.chat, behind={**self.chat.behind, _SECOND: [second]})
            ports = (self.chat.process.port, second.port)
            return Crowd(
                without=self._measure(both, _CROWDED, 0),
                within=self._measure(both, _CROWDED, CROWD, ports=ports),
            )

    def _measure(
        self, chat: Contender, shape: Shape, count: int, *, ports: tuple[int, ...] = ()
    ) -> Measured:
        [conversation] = self.aula.conversations(1)
        asked, renewal = self.aula.observers(conversation, count)
        return measure(
            chat, self.endpoint, shape, starts_a_second=_STARTS,
            requests=self.aula.requests([conversation]),
            observers=asked, observer_ports=ports, renewal=renewal,
        )  # fmt: skip


def each(rounds: Mapping[int, Round], count: int, figure: Figure) -> float | None:
    """How much more of a figure each of so many observers makes."""
    alone, observed = (figure(rounds[number]) for number in (0, count))
    return (observed - alone) / count if alone is not None and observed is not None else None


def observers_table(rounds: Mapping[int, Round]) -> Table:
    """The growth of a stream's cost with its observers at one process."""
    table = make_table(
        f"one stream observed at one process, a delta each {_SHORT.pace_ms:g} ms",
        "observers", "saw all", "µs a delta", "each observer: µs a delta", "fixed ms", "KB",
        "student's gap ms", "p99", left=0,
    )  # fmt: skip
    for count, one in rounds.items():
        cells: list[float | None] = [None, None, None]
        if count:
            memory = each(rounds, count, figures.memory_mb)
            cells = [
                each(rounds, count, delta_us()),
                each(rounds, count, fixed_ms()),
                None if memory is None else 1e3 * memory,
            ]
        table.add_row(
            str(count),
            shown(figures.median(measured.report.observers_whole for measured in one.all), 0),
            shown(delta_us()(one), 0),
            *(shown(cell, digits) for cell, digits in zip(cells, (1, 2, 0), strict=True)),
            shown(figures.of_paced(lambda measured: measured.report.gap_ms)(one)),
            shown(figures.of_paced(lambda measured: measured.report.gap_p99_ms)(one)),
        )
    return table


def crowd_table(crowd: Crowd) -> Table:
    """The crowd, and what the student felt of it."""
    table = make_table(
        f"one stream of {_CROWDED.deltas} deltas, {1000 / _CROWDED.pace_ms:g} a second,"
        " observed at two processes",
        "observers", "saw all", "student's gap ms", "p99", "chat ms", "second chat ms",
        "generator ms", "lost", left=0,
    )  # fmt: skip
    for count, one in ((0, crowd.without), (CROWD, crowd.within)):
        table.add_row(
            str(count),
            str(one.report.observers_whole),
            shown(one.report.gap_ms),
            shown(one.report.gap_p99_ms),
            *(shown(1e3 * one.cpu[who], 0) for who in (OWN, _SECOND, "generator")),
            str(one.report.lost),
        )
    return table
