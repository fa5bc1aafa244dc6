"""The readers of this process: how many there are, how far they may fall behind, who was cut."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge

from aula_chat.domain.readers import CutReason, ReaderKind


class Readers:
    """Counts them; `buffer_bytes` is how far one may be behind what is released."""

    def __init__(self, *, buffer_bytes: int, reading: Gauge, cut: Counter) -> None:
        self.buffer_bytes = buffer_bytes
        self._reading = reading
        self._cut = cut
        for kind in ReaderKind:
            reading.labels(kind)  # shown from the start, not only once there was one
        for reason in CutReason:
            cut.labels(reason)

    @contextmanager
    def reading(self, kind: ReaderKind) -> Iterator[None]:
        """Count one more inside the block."""
        gauge = self._reading.labels(kind)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def cut(self, reason: CutReason) -> None:
        """Count one that was ended before its time."""
        self._cut.labels(reason).inc()
