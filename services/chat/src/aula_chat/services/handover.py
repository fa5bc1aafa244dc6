"""What becomes of this process's streams when it ends.

They end by themselves if the time suffices. What is left shortly before the deadline is ended
here as interrupted: only this process holds all of its text, and the provider's connection can't
move. What can't even be ended, because a database or accounting does not answer, is given up: any
other process takes it at once, from its log and its last checkpoint.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from aula_chat.services.live_streams import LiveStreams
from aula_chat.services.recoveries import Recoveries
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)
_ENDING_SECONDS = 3.0  # accounting is given two of them
_GIVING_UP_SECONDS = 1.0
_SHARE = 0.8  # of a short deadline; the rest is for streams to end by themselves
_LEAST_SECONDS = 0.5


class Handover:
    """Ends this process's part in all streams within `deadline` seconds of the drain's begin.

    `owner` names the process; `send_away` are told at the begin: readers whom another process
    serves as well.
    """

    def __init__(
        self,
        *,
        streams: "StreamRepository",
        live: LiveStreams,
        recoveries: Recoveries,
        send_away: Sequence[Callable[[], None]],
        owner: str,
        deadline: float,
    ) -> None:
        self._streams = streams
        self._live = live
        self._recoveries = recoveries
        self._send_away = send_away
        self._owner = owner
        share = min(1.0, _SHARE * deadline / (_ENDING_SECONDS + _GIVING_UP_SECONDS))
        self._ending = max(_LEAST_SECONDS, share * _ENDING_SECONDS)
        self._giving_up = max(_LEAST_SECONDS, share * _GIVING_UP_SECONDS)
        self._patience = max(0.0, deadline - self._ending - self._giving_up)
        self._ended = False

    async def drain(self, requests_ended: Callable[[], Awaitable[None]]) -> None:
        """Wait for the streams to end, and finish those that don't; readers are told.

        `requests_ended` returns when no request runs that may still begin a stream.
        """
        for send_away in self._send_away:
            send_away()
        try:
            async with asyncio.timeout(self._patience):
                await requests_ended()
                await self._live.idle()
        except TimeoutError:
            await self.finish()

    async def finish(self) -> None:
        """End what still runs, give up what can't be ended; may be called again."""
        if not self._ended:
            await self._end()
            self._ended = True
        await self._give_up()

    async def _end(self) -> None:
        self._live.interrupt()
        try:
            async with asyncio.timeout(self._ending):
                await self._live.idle()
                for live in self._live.unfinished():
                    await live.view.finished()
        except TimeoutError:
            _log.warning("streams could not be ended", count=len(self._live.unfinished()))

    async def _give_up(self) -> None:
        """Let others take what is left, the claims too of which nothing was promised yet."""
        self._recoveries.stop()
        left = [live for live in self._live.running() if live.stream.live]
        for live in left:
            live.lose()
        try:
            async with asyncio.timeout(self._giving_up):
                count = await self._streams.give_up(
                    self._owner, [(live.stream, live.checkpoint()) for live in left]
                )
        except (TimeoutError, UnavailableError):
            _log.warning("streams left to their leases", count=len(left))
        else:
            if count:
                _log.warning("streams given up", count=count)
