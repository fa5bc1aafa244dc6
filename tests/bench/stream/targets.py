"""What is aimed at, and the plain figures that people ask for, each with what was measured."""

from collections.abc import Iterator

from bench.stream import figures
from bench.stream.crowd import CROWD, Crowd
from bench.stream.figures import (
    Results,
    added_first_ms,
    delta_us,
    fixed_ms,
    memory_for_each_kb,
    of_paced,
    over,
    whole_ms,
)
from bench.stream.measure import Measured
from bench.stream.tables import NONE, shown

Row = tuple[str, str, str, bool | None]
_PACES = 3  # the longest gap at p99
_CROWDED_GAP, _CROWDED_P99 = 1.2, 3  # of the student's without observers


def targets(results: Results, crowd: Crowd | None) -> list[Row]:
    """Those of the streaming path; what was not measured is left out."""
    rows = [
        *_cpu(results),
        _most("fixed CPU of a stream, ms, 200", over(results.of("chat", 200), fixed_ms()), 6),
        _most("added first token: chat ÷ LiteLLM, 10", _added(results, "LiteLLM", 10), 0.2),
        _most(
            "added first token: chat ÷ bare, 200 (the aim adds the reservation)",
            _added(results, "bare", 200),
            1.5,
        ),
        _most(
            "memory: chat ÷ LiteLLM, 200",
            results.ratio(figures.memory_mb, "chat", "LiteLLM", 200),
            0.2,
        ),
        _most("memory for each open stream, KB", memory_for_each_kb(results, "chat"), 50),
        *_steady(results),
        *(_crowded(crowd) if crowd else ()),
    ]
    return [row for row in rows if row[1] != NONE]


def _cpu(results: Results) -> Iterator[Row]:
    """How many times as much CPU as chat the others use."""
    all_behind = "the same, all behind chat counted to it"
    for at_once, aim in ((10, 4), (200, 8)):
        ratio = results.ratio(delta_us(), "LiteLLM", "chat", at_once)
        yield _least(f"µs a delta: LiteLLM ÷ chat, {at_once}", ratio, aim)
    ratio = results.ratio(delta_us(figures.used), "LiteLLM", "chat", 200)
    yield _least(all_behind, ratio, None)
    yield _least(
        "µs a delta: bare ÷ chat, 200", results.ratio(delta_us(), "bare", "chat", 200), 0.6
    )
    whole = results.ratio(whole_ms(), "LiteLLM", "chat", 200)
    yield _least("CPU of whole streams: LiteLLM ÷ chat, 200", whole, 6)
    whole = results.ratio(whole_ms(figures.used), "LiteLLM", "chat", 200)
    yield _least(all_behind, whole, None)


def plain_figures(quick: Measured, results: Results) -> list[Row]:
    """What people ask for; `quick`: a few of chat's streams, faster than they are read."""
    most = max((n for name, n in results.rounds if name == "chat"), default=quick.at_once)
    whole = all(not figures.lost(one) for one in results.of("chat", most))
    first, rate, memory = (
        quick.report.first_ms, quick.report.deltas_a_second, quick.memory_mb,
    )  # fmt: skip
    return [
        (f"first token, ms, {quick.at_once} streams", shown(first), "< 500", first < 500),
        ("tokens a second, each stream", shown(rate, 0), "> 50", rate > 50),
        ("memory, MB", shown(memory, 0), "< 100", memory < 100),
        ("of it no file's pages, which processes share", shown(quick.own_mb, 0), "", None),
        ("connections at once, none lost", str(most), "> 100", most > 100 and whole),
    ]


def _steady(results: Results) -> list[Row]:
    rounds = results.of("chat", 500)
    gap = over(rounds, of_paced(lambda one: one.report.gap_p99_ms))
    pace = over(rounds, of_paced(lambda one: one.pace_ms))
    if gap is None or pace is None:
        return []
    lost = sum(map(figures.lost, rounds))
    return [
        ("lost of 500 streams at once", shown(lost, 0), "0", not lost),
        _most("gap at p99 ÷ pace, 500 streams", gap / pace, _PACES),
    ]


def _crowded(crowd: Crowd) -> Iterator[Row]:
    without, within = crowd.without.report, crowd.within.report
    saw_all = within.observers_whole
    yield (
        f"observers at two replicas who saw all, of {CROWD}",
        str(saw_all),
        "all",
        saw_all == CROWD,
    )
    if without.gap_ms and without.gap_p99_ms:
        gap = within.gap_ms / without.gap_ms
        yield _most("the student's gap with them ÷ without", gap, _CROWDED_GAP)
        p99 = within.gap_p99_ms / without.gap_p99_ms
        yield _most("the same at p99", p99, _CROWDED_P99)


def _added(results: Results, other: str, at_once: int) -> float | None:
    mine, theirs = (added_first_ms(results, name, at_once) for name in ("chat", other))
    return mine / theirs if mine is not None and theirs else None


def _least(what: str, value: float | None, aim: float | None) -> Row:
    met = None if value is None or aim is None else value >= aim
    return what, shown(value, 2), f"≥ {aim:g}" if aim is not None else "", met


def _most(what: str, value: float | None, aim: float) -> Row:
    return what, shown(value, 2), f"≤ {aim:g}", None if value is None else value <= aim
