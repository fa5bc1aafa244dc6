"""The results as tables."""

from collections.abc import Iterable

from bench.stream import figures
from bench.stream.figures import Results, added_first_ms, delta_us, fixed_ms, over, whole_ms
from rich.table import Table

NONE = "-"
_APART = ("MongoDB", "Redis", "accounting, PostgreSQL", "endpoint", "generator")


def shown(value: float | None, digits: int = 1) -> str:
    """A number, or a gap where nothing was measured."""
    return NONE if value is None else f"{value:.{digits}f}"


def make_table(title: str, *columns: str, left: int = 1) -> Table:
    """A table whose first columns are words and whose other columns are numbers."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table


def contenders_table(results: Results) -> Table:
    """What each costs its own processes, and what its callers see."""
    table = make_table(
        "each contender's own processes; first token: more than from the endpoint itself",
        "by", "streams", "µs a delta", "fixed ms", "whole ms", "first +ms", "gap ms", "gap p99",
        "pace ms", "MB", "lost",
    )  # fmt: skip
    for (name, at_once), rounds in sorted(results.rounds.items(), key=lambda item: item[0][1]):
        cpu = name != "direct"
        table.add_row(
            name,
            str(at_once),
            shown(over(rounds, delta_us()) if cpu else None, 0),
            shown(over(rounds, fixed_ms()) if cpu else None, 2),
            shown(over(rounds, whole_ms()) if cpu else None),
            shown(added_first_ms(results, name, at_once) if cpu else None),
            shown(over(rounds, figures.of_paced(lambda one: one.report.gap_ms))),
            shown(over(rounds, figures.of_paced(lambda one: one.report.gap_p99_ms))),
            shown(over(rounds, figures.of_paced(lambda one: one.pace_ms)), 0),
            shown(over(rounds, figures.memory_mb), 0) if cpu else NONE,
            shown(sum(map(figures.lost, rounds)), 0),
        )
    return table


def apart_table(results: Results) -> Table:
    """What those use who work for the contenders."""
    table = make_table(
        "CPU of those measured apart: µs a delta | fixed ms a stream", "by", "streams", *_APART
    )
    for (name, at_once), rounds in sorted(results.rounds.items(), key=lambda item: item[0][1]):
        if over(rounds, delta_us()) is None:
            continue
        cells = (
            f"{shown(over(rounds, delta_us(count)), 0)} | {shown(over(rounds, fixed_ms(count)))}"
            if rounds[0].all and who in rounds[0].all[0].cpu
            else NONE
            for who, count in ((who, figures.by(who)) for who in _APART)
        )
        table.add_row(name, str(at_once), *cells)
    return table


def plain_table(rows: Iterable[tuple[str, str, str, bool | None]], *, title: str) -> Table:
    """Figures with what was aimed at, and whether it was reached."""
    table = make_table(title, "what", "measured", "aim", "reached", left=1)
    words = {True: "yes", False: "no", None: NONE}
    for what, measured, aim, met in rows:
        table.add_row(what, measured, aim, words[met])
    return table
