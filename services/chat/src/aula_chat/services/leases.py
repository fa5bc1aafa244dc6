"""Owning a stream: renewing its lease, and learning that it was lost or should stop."""

from typing import TYPE_CHECKING

from aula_chat.domain.fences import LossPlace
from aula_chat.domain.streams import Checkpoint
from aula_chat.services.fences import Fences
from aula_chat.services.live_streams import LiveStream
from aula_common.clock import Clock
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)


class Leases:
    """Renews the leases of this process's streams; `seconds` is how long one lasts."""

    def __init__(
        self, streams: "StreamRepository", *, clock: Clock, seconds: float, fences: Fences
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._fences = fences
        self.seconds = seconds

    def ends_if_asked_now(self) -> float:
        """When a lease that is asked for now ends at the earliest, on the monotonic clock."""
        return self._clock.monotonic() + self.seconds

    async def renew(self, live: LiveStream, checkpoint: Checkpoint | None = None) -> None:
        """Renew, with a checkpoint if given; sets the stream's `stop_asked` or `fenced`.

        UnavailableError if the database did not answer: the lease is then as long as it was.
        """
        ends = self.ends_if_asked_now()
        stop_asked = await self._streams.renew(
            live.stream.id,
            live.stream.fence,
            lease_seconds=self.seconds,
            checkpoint=checkpoint,
        )
        if stop_asked is None:
            if await self._freed_by_us(live):
                return
            _log.warning("lease lost", stream=live.stream.id)
            self._fences.lose(live, LossPlace.RENEWAL)
            return
        live.lease_ends = ends
        if stop_asked:
            live.stop_asked.set()

    async def _freed_by_us(self, live: LiveStream) -> bool:
        """Whether the stream has ended under our own fence, of which we may not know yet."""
        stored = await self._streams.find(live.stream.id)
        return stored is not None and stored.fence == live.stream.fence and not stored.live
