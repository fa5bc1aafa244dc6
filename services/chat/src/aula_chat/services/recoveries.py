"""Takes over streams whose process died: whoever finds one first ends it as interrupted."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import Counter

from aula_chat.domain.errors import FenceLostError
from aula_chat.domain.events import LAST_NUMBER, data_of, event_frame, number_of, text_of
from aula_chat.domain.fences import LossPlace
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.ports import LogAppend, StreamLog
from aula_chat.domain.streams import Outcome, Phase, Stream, StreamCode
from aula_chat.services.conclusions import Conclusions, terminal_event
from aula_chat.services.fences import Fences
from aula_chat.services.stream_spans import stream_attributes
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger
from aula_common.traces import spanned

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)
_LOG_ATTEMPTS = 4
_LOG_PAUSE_SECONDS = 0.5


class Recoveries:
    """Recovers streams whose lease is past. `owner` names this process.

    A stream that `runs_here` is left to its owner, this very process, which renews it by itself;
    another's a sweep takes once it was seen expired for `grace` seconds, in which an owner that
    could not reach the database either renews it; at once if its owner has given it up, or it is in
    the way of a question.
    The log holds what was shown beyond the last checkpoint, so while Redis is away a recovery
    waits for it, `log_patience` seconds at most.
    """

    def __init__(
        self,
        *,
        streams: "StreamRepository",
        log: StreamLog,
        conclusions: Conclusions,
        clock: Clock,
        owner: str,
        lease_seconds: float,
        log_patience: float,
        log_ttl_seconds: int,
        grace: float,
        runs_here: Callable[[str], bool],
        recovered: Counter,
        fences: Fences,
    ) -> None:
        self._streams = streams
        self._log = log
        self._conclusions = conclusions
        self._clock = clock
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._log_patience = log_patience
        self._log_ttl_seconds = log_ttl_seconds
        self._grace = grace
        self._runs_here = runs_here
        self._recovered = recovered
        self._fences = fences
        self._first_seen: dict[str, float] = {}
        self._stopped = False

    def stop(self) -> None:
        """Take nothing any more: this process is about to end."""
        self._stopped = True

    async def sweep(self) -> None:
        """Recover what can be recovered now."""
        now = self._clock.monotonic()
        expired = await self._streams.find_expired()
        self._first_seen = {
            one.stream_id: self._first_seen.get(one.stream_id, now) for one in expired
        }
        for one in expired:
            if one.given_up or now - self._first_seen[one.stream_id] >= self._grace:
                try:
                    await self.recover(one.stream_id)
                except UnavailableError:
                    raise
                except Exception:  # noqa: BLE001 - whatever it was, the others are recovered
                    _log.exception("not recovered", stream=one.stream_id)

    async def recover(self, stream_id: str) -> bool:
        """End that stream if its lease is past; whether this process did."""
        if self._stopped or self._runs_here(stream_id):
            return False
        if not await self._log_answers(stream_id) and not self._waited_enough(stream_id):
            return False
        # the fence is raised here, before the log is read: its last owner writes no more
        stream = await self._streams.take(
            stream_id, owner=self._owner, lease_seconds=self._lease_seconds
        )
        if stream is None:
            return False
        _log.warning("recovering a stream", stream=stream.id, phase=str(stream.phase))
        try:
            with spanned("recover", stream_attributes(stream), link=stream.traceparent):
                await self._end(stream)
        except FenceLostError:
            _log.warning("recovery was overtaken", stream=stream.id)
            self._fences.count(LossPlace.RECOVERY)
            await self._conclusions.withdraw(stream)
            return False
        self._first_seen.pop(stream.id, None)
        self._recovered.inc()
        return True

    async def _end(self, stream: Stream) -> None:
        if stream.phase is Phase.CLAIMED:
            await self._conclusions.refuse(stream, "the process died before the start")
            return
        frames = await self._frames(stream)
        if stream.phase is Phase.ENDED:
            ended = await self._conclusions.publish(stream)
        else:
            ended = await self._conclusions.conclude(
                stream,
                _interrupted(stream, frames),
                last_number=max(len(frames), stream.checkpoint.number),
            )
        if ended.outcome is not None and len(frames) + 1 == ended.last_number:
            await self._append_terminal(ended, len(frames))

    async def _frames(self, stream: Stream) -> list[bytes]:
        """What the log holds, without a gap from the first; nothing if it is away."""
        for _ in range(_LOG_ATTEMPTS):
            try:
                await self._log.raise_fence(
                    stream.id, stream.fence, ttl_seconds=self._log_ttl_seconds
                )
                found = (await self._log.read({stream.id: 0}))[stream.id]
            except UnavailableError:
                await self._clock.sleep(_LOG_PAUSE_SECONDS)
            else:
                return [frame for index, frame in enumerate(found, 1) if number_of(frame) == index]
        _log.error("recovering without the log", stream=stream.id)
        return []

    async def _append_terminal(self, ended: Stream, top: int) -> None:
        event, data = terminal_event(ended)
        append = LogAppend(
            stream_id=ended.id,
            fence=ended.fence,
            expected_top=top,
            number=top + 1,
            data=event_frame(ended.id, top + 1, event, data),
            ttl_seconds=self._log_ttl_seconds,
        )
        try:
            await self._log.append([append])
        except UnavailableError:
            _log.info("terminal event not logged", stream=ended.id)

    async def _log_answers(self, stream_id: str) -> bool:
        try:
            await self._log.read({stream_id: LAST_NUMBER})
        except UnavailableError:
            return False
        return True

    def _waited_enough(self, stream_id: str) -> bool:
        since = self._first_seen.setdefault(stream_id, self._clock.monotonic())
        return self._clock.monotonic() - since >= self._log_patience


def _interrupted(stream: Stream, frames: list[bytes]) -> Outcome:
    """The outcome of a stream that broke off: the text of whichever knows more of it."""
    logged = len(frames) >= stream.checkpoint.number
    models = [data["model"] for event, data in map(data_of, frames) if event == "model"]
    return Outcome(
        status=MessageStatus.INTERRUPTED,
        text=text_of(frames) if logged else stream.checkpoint.text,
        model_id=models[-1] if models else stream.reservation.model_ids[0],
        code=StreamCode.INTERRUPTED,
    )
