"""How far the logs are behind what this process has written, and what it serves without them.

Only what a change of state costs is paid while streams run; ages and sums are made at a scrape.
"""

from aula_chat.services.live_streams import LiveStream
from aula_common.clock import Clock
from aula_common.metrics import Metrics

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)


class LogHealth:
    """Of the streams of one process, shown as metrics.

    A stream is degraded only while its log lacks something.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._behind: dict[str, LiveStream] = {}
        self._degraded_since: dict[str, float] = {}
        self._degraded_before = 0.0
        self._appends = metrics.histogram(
            "stream_log_append_seconds",
            "Time in which Redis answered an append of many streams' events, in seconds.",
            buckets=_BUCKETS,
        )
        metrics.gauge(
            "stream_log_unacknowledged_events",
            "Events that this process has made and Redis has not acknowledged.",
        ).set_function(self._unacknowledged)
        metrics.gauge(
            "stream_log_lag_seconds", "Age of the oldest unacknowledged event, in seconds."
        ).set_function(self._lag_seconds)
        metrics.gauge(
            "streams_degraded", "Streams of this process that are served without their log."
        ).set_function(lambda: len(self._degraded_since))
        metrics.counter_of(
            "streams_degraded_seconds",
            "Time that streams of this process were served without their log, in stream-seconds.",
            self._degraded_seconds,
        )

    def wrote(self, live: LiveStream) -> None:
        """The stream has events that its log is not known to have."""
        self._behind[live.stream.id] = live

    def forget(self, live: LiveStream) -> None:
        """Nothing more goes to the stream's log, or it has all there is."""
        self._behind.pop(live.stream.id, None)
        self.mend(live)

    def degrade(self, live: LiveStream) -> None:
        """The stream is served without its log from now on."""
        self._degraded_since.setdefault(live.stream.id, self._clock.monotonic())

    def mend(self, live: LiveStream) -> None:
        """The stream is served from its log again, or no longer here."""
        since = self._degraded_since.pop(live.stream.id, None)
        if since is not None:
            self._degraded_before += self._clock.monotonic() - since

    def answered(self, asked_at: float) -> None:
        """An append that was sent then, by the monotonic clock, has been answered."""
        self._appends.observe(self._clock.monotonic() - asked_at)

    def _unacknowledged(self) -> int:
        return sum(live.unlogged_count for live in self._behind.values())

    def _lag_seconds(self) -> float:
        oldest = min((live.behind_since for live in self._behind.values()), default=None)
        return 0.0 if oldest is None else self._clock.monotonic() - oldest

    def _degraded_seconds(self) -> float:
        now = self._clock.monotonic()
        return self._degraded_before + sum(now - since for since in self._degraded_since.values())
