"""Prometheus metrics, one registry for each application rather than one for the process."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class _ReadCounter(Collector):
    """A collector of one counter without labels, whose value is `read`."""

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self._name = name
        self._help_text = help_text
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._help_text, value=self._read())


class Metrics:
    """The metrics of one application; names are prefixed with `aula_`."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self.counter(
            "http_requests", "Requests answered.", ["method", "route", "status"]
        )
        self.request_seconds = self.histogram(
            "http_request_seconds",
            "Time to the answer's first byte, in seconds.",
            ["method", "route"],
        )
        self._requests_of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.errors = self.counter("expected_errors", "Expected errors answered.", ["code"])

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered, its first byte after so many seconds."""
        kept = self._requests_of.get((method, route, status))
        if kept is None:  # to look for a metric by its labels costs more than to count
            kept = (
                self.requests.labels(method, route, status),
                self.request_seconds.labels(method, route),
            )
            self._requests_of[method, route, status] = kept
        kept[0].inc()
        kept[1].observe(seconds)

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows."""
        return Counter(f"aula_{name}", help_text, labels, registry=self.registry)

    def counter_of(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """A number that only grows and is asked for at each scrape."""
        self.registry.register(_ReadCounter(f"aula_{name}", help_text, read))

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(f"aula_{name}", help_text, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = _SECONDS,
    ) -> Histogram:
        """A distribution, of seconds unless the buckets say otherwise."""
        return Histogram(f"aula_{name}", help_text, labels, registry=self.registry, buckets=buckets)

    def exposition(self) -> bytes:
        """The registry in OpenMetrics text."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]  # the library's
        return text
