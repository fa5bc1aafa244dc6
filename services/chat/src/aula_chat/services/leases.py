"""Owning a stream: renewing its lease, and learning that it was lost or should stop."""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from aula_chat.domain.fences import LossPlace
from aula_chat.domain.streams import Checkpoint
from aula_chat.services.fences import Fences
from aula_chat.services.live_streams import LiveStream
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)
_LOOK_SECONDS = 1.0
_LOOKS = 5  # in an interval, at least
_AT_ONCE = 100  # checkpoints in one command


class Leases:
    """Renews the leases of this process's streams. Durations are in seconds.

    A lease lasts `seconds` and is renewed, with a checkpoint, every `checkpoint_every`; more often
    while the stream's log is away.
    """

    def __init__(
        self,
        streams: "StreamRepository",
        *,
        clock: Clock,
        seconds: float,
        checkpoint_every: float,
        fences: Fences,
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._fences = fences
        self.seconds = seconds
        self.look_every = min(_LOOK_SECONDS, checkpoint_every / _LOOKS)
        self._checkpoint_every = checkpoint_every

    def ends_if_asked_now(self) -> float:
        """When a lease that is asked for now ends at the earliest, on the monotonic clock."""
        return self._clock.monotonic() + self.seconds

    async def look(self, running: Sequence[LiveStream]) -> None:
        """Renew those of them that are due. To be called every `look_every`."""
        due = [live for live in running if self._is_due(live)]
        for start in range(0, len(due), _AT_ONCE):
            batch = due[start : start + _AT_ONCE]
            try:
                await self._renew_all(batch)
            except UnavailableError:
                _log.warning("checkpoint not stored", streams=len(batch))
                for live in batch:
                    live.renewed_at = -inf  # at once when the database is back: the lease runs out

    def _is_due(self, live: LiveStream) -> bool:
        if live.fenced:
            return False
        every = self._checkpoint_every
        if live.view.degraded:
            every = min(_LOOK_SECONDS, every)
        return self._clock.monotonic() - live.renewed_at >= every - self.look_every

    async def _renew_all(self, batch: Sequence[LiveStream]) -> None:
        ends = self.ends_if_asked_now()
        for live in batch:
            live.renewed_at = self._clock.monotonic()
        renewed = await self._streams.renew_all(
            [(live.stream, live.checkpoint()) for live in batch], lease_seconds=self.seconds
        )
        left_out = []
        for live in batch:
            if live.stream.id in renewed:
                live.lease_ends = ends
            else:
                left_out.append(live)
        for live in left_out:
            await self.renew(live, live.checkpoint())

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
            live.ask_stop()

    async def _freed_by_us(self, live: LiveStream) -> bool:
        """Whether the stream has ended under our own fence, of which we may not know yet."""
        stored = await self._streams.find(live.stream.id)
        return stored is not None and stored.fence == live.stream.fence and not stored.live
