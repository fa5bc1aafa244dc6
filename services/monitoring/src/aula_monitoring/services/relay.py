"""Passing chat's events on to one observer, over as many connections as it takes."""

import asyncio
import random
from collections.abc import AsyncIterator

from aula_common.clock import Clock
from aula_common.errors import MalformedRequestError, NotFoundError, UnavailableError
from aula_common.logging import get_logger
from aula_monitoring.domain.frames import COMMENT, FrameSplitter, FrameTooLargeError
from aula_monitoring.domain.observation import EndReason, Observation
from aula_monitoring.domain.passage import Passage
from aula_monitoring.domain.ports import Conversations
from aula_monitoring.services.channel import Channel

_log = get_logger(__name__)
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 3.0


class Relay:
    """One observation's way from chat to the channel.

    `opened` is done when chat shows something: then the answer may begin. It holds chat's
    refusal else.
    """

    def __init__(
        self,
        observation: Observation,
        *,
        conversations: Conversations,
        channel: Channel,
        clock: Clock,
        resume_seconds: float,
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._observation = observation
        self._conversations = conversations
        self._channel = channel
        self._clock = clock
        self._resume_seconds = resume_seconds
        self._passage = Passage(last_event_id=observation.last_event_id, follow=observation.follow)
        self._lost_at: float | None = None
        self._losses = 0

    async def run(self) -> EndReason:
        """Pass on until chat has no more; a lost chat is tried again for `resume_seconds`."""
        while True:
            try:
                await self._connect_once()
            except (NotFoundError, MalformedRequestError) as error:
                return self._refused(error, EndReason.NOT_SHOWN, EndReason.GONE)
            except FrameTooLargeError:
                return EndReason.UNAVAILABLE
            except UnavailableError as error:
                if not self.opened.done():
                    return self._refused(error, EndReason.UNAVAILABLE, EndReason.UNAVAILABLE)
            else:
                # chat ended its answer in due form: with `follow` it has no reason to
                if not (self._observation.follow or self._passage.must_move):
                    return EndReason.FINISHED
            if self._passage.may_end:
                return EndReason.FINISHED
            if not await self._may_try_again():
                return EndReason.UNAVAILABLE

    def _refused(self, error: Exception, at_first: EndReason, later: EndReason) -> EndReason:
        if self.opened.done():
            return later
        self.opened.set_exception(error)
        return at_first

    async def _connect_once(self) -> None:
        last_event_id = self._passage.last_event_id
        async with self._conversations.observe(
            self._observation, last_event_id=last_event_id
        ) as chunks:
            self._passage.reconnected()
            if not self.opened.done():
                self.opened.set_result(None)
            await self._pass_on(chunks)

    async def _pass_on(self, chunks: AsyncIterator[bytes]) -> None:
        splitter = FrameSplitter()
        async for chunk in chunks:
            admitted = []
            for frame in splitter.feed(chunk):
                if self._passage.admits(frame):
                    admitted.append(frame.raw)
                    if frame.event_id is not None:
                        self._lost_at, self._losses = None, 0
                if self._passage.is_over or self._passage.must_move:
                    break
            if admitted:
                await self._channel.put(b"".join(admitted))
            if self._passage.is_over or self._passage.must_move:
                return

    async def _may_try_again(self) -> bool:
        now = self._clock.monotonic()
        if self._lost_at is None:
            self._lost_at = now
            _log.warning("chat lost amid an observation", observation=self._observation.id)
        if now - self._lost_at >= self._resume_seconds:
            return False
        await self._channel.put(COMMENT)
        pause = min(_FIRST_PAUSE * 2**self._losses, _LONGEST_PAUSE)
        self._losses = min(self._losses + 1, 10)
        await self._clock.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - jitter is no secret
        return True
