"""What is read out of the measurements. Ratios are medians over rounds, each within its round."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.stream.measure import OWN, Measured


@dataclass(kw_only=True)
class Round:
    """One contender at one number of streams in one round; None: not measured."""

    short: Measured | None = None
    long: Measured | None = None
    whole: Measured | None = None

    @property
    def all(self) -> list[Measured]:
        """What was measured."""
        return [one for one in (self.short, self.long, self.whole) if one is not None]


Rounds = Sequence[Round]
Key = tuple[str, int]
"""A contender's name and its streams at once."""


@dataclass
class Results:
    """All rounds by contender and streams at once."""

    rounds: dict[Key, list[Round]] = field(default_factory=dict)

    def of(self, name: str, at_once: int) -> Rounds:
        """The rounds of one case, none if it was not measured."""
        return self.rounds.get((name, at_once), ())

    def ratio(self, figure: "Figure", above: str, below: str, at_once: int) -> float | None:
        """One contender's figure divided by another's in the same round: the median."""
        pairs = zip(self.of(above, at_once), self.of(below, at_once), strict=False)
        found = ((figure(a), figure(b)) for a, b in pairs)
        return median(a / b for a, b in found if a is not None and b is not None and b > 0)


Figure = Callable[[Round], float | None]
Count = Callable[[Measured], float]


def own(measured: Measured) -> float:
    """CPU seconds of the contender's own processes."""
    return measured.cpu[OWN]


def used(measured: Measured) -> float:
    """CPU seconds of the contender and of all behind it."""
    return measured.used


def by(who: str) -> Count:
    """CPU seconds of one of those that were measured apart."""
    return lambda measured: measured.cpu.get(who, 0.0)


def delta_us(count: Count = own) -> Figure:
    """CPU µs for each delta: the slope between short and long streams."""

    def figure(one: Round) -> float | None:
        if one.short is None or one.long is None:
            return None
        more = count(one.long) / one.long.streams - count(one.short) / one.short.streams
        return 1e6 * more / (one.long.deltas - one.short.deltas)

    return figure


def fixed_ms(count: Count = own) -> Figure:
    """CPU ms for each stream that its deltas don't explain."""
    slope = delta_us(count)

    def figure(one: Round) -> float | None:
        each = slope(one)
        if each is None or one.short is None:
            return None
        return 1e3 * count(one.short) / one.short.streams - each * one.short.deltas / 1e3

    return figure


def whole_ms(count: Count = own) -> Figure:
    """CPU ms of a whole stream of the usual length."""
    return lambda one: None if one.whole is None else 1e3 * count(one.whole) / one.whole.streams


def of_whole(read: Callable[[Measured], float]) -> Figure:
    """Something of the measurement of whole streams."""
    return lambda one: None if one.whole is None else read(one.whole)


def of_paced(read: Callable[[Measured], float]) -> Figure:
    """Something of the measurement with all streams under way at once, else of whole ones."""

    def figure(one: Round) -> float | None:
        measured = one.long or one.whole
        return None if measured is None else read(measured)

    return figure


def lost(one: Round) -> float:
    """Streams that did not end whole."""
    return sum(measured.report.lost for measured in one.all)


def memory_mb(one: Round) -> float | None:
    """The contender's highest."""
    return max((measured.memory_mb for measured in one.all), default=None)


def median(values: Iterable[float | None]) -> float | None:
    """Of those that there are; None if there are none."""
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def over(rounds: Rounds, figure: Figure) -> float | None:
    """The median of a figure over rounds."""
    return median(map(figure, rounds))


def added_first_ms(results: Results, name: str, at_once: int) -> float | None:
    """How much later the first delta came than from the endpoint asked directly."""
    first = of_whole(lambda measured: measured.report.first_ms)
    pairs = zip(results.of(name, at_once), results.of("direct", at_once), strict=False)
    found = ((first(mine), first(least)) for mine, least in pairs)
    return median(a - b for a, b in found if a is not None and b is not None)


def memory_for_each_kb(results: Results, name: str) -> float | None:
    """More memory at the most streams than at the fewest, for each stream more; first round."""
    most: Mapping[int, float] = {
        at_once: memory
        for (other, at_once), rounds in results.rounds.items()
        if other == name and rounds and (memory := memory_mb(rounds[0])) is not None
    }
    if len(most) < 2:
        return None
    low, high = min(most), max(most)
    return 1e3 * (most[high] - most[low]) / (high - low)
