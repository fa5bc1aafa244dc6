"""What accounting has not settled yet, of all processes, as the database has it."""

from typing import TYPE_CHECKING

from aula_chat.domain.streams import Unsettled
from aula_common.clock import Clock
from aula_common.metrics import Metrics

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository


class UnsettledIntents:
    """Shown as metrics: what the last look found, and the age of it at the scrape.

    Looks apart from the relay, whose round is long just when accounting answers nothing.
    """

    def __init__(self, *, streams: "StreamRepository", clock: Clock, metrics: Metrics) -> None:
        self._streams = streams
        self._clock = clock
        self._found = Unsettled()
        metrics.gauge(
            "streams_unsettled",
            "Ended streams, of all processes, that accounting has not settled.",
        ).set_function(lambda: self._found.count)
        metrics.gauge(
            "streams_unsettled_age_seconds", "How long ago the oldest of them ended, in seconds."
        ).set_function(self._age_seconds)

    async def look(self) -> None:
        """Learn what is unsettled; one query."""
        self._found = await self._streams.measure_unsettled()

    def _age_seconds(self) -> float:
        oldest = self._found.oldest_ended_at
        return 0.0 if oldest is None else max(0.0, (self._clock.now() - oldest).total_seconds())
