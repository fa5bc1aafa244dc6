"""The fences that this process lost: each counted once, where it was noticed first."""

from prometheus_client import Counter

from aula_chat.domain.fences import LossPlace
from aula_chat.services.live_streams import LiveStream


class Fences:
    """Counts them; `lost` has the label `where`."""

    def __init__(self, lost: Counter) -> None:
        self._lost = lost
        for place in LossPlace:
            lost.labels(place)  # shown from the start, not only once there was one

    def lose(self, live: LiveStream, place: LossPlace) -> None:
        """Let go of a stream that another process has taken."""
        if not live.fenced:
            self.count(place)
        live.lose()

    def count(self, place: LossPlace) -> None:
        """Count the loss of a stream that is not written here."""
        self._lost.labels(place).inc()
