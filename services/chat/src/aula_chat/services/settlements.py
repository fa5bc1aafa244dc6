"""Settling what streams cost: at their end if accounting answers soon, else by a relay.

Always from the stored intent and always under the stream's id, so that it can be repeated by
anyone without charging twice.
"""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from aula_chat.domain.ports import CreditAccounts
from aula_chat.domain.streams import Settlement, Stream
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.messages import MessageRepository
    from aula_chat.storage.streams import StreamRepository

_log = get_logger(__name__)


class Settlements:
    """Asks accounting; `patience` is how long, in seconds, the end of a stream waits for it."""

    def __init__(
        self,
        *,
        accounts: CreditAccounts,
        streams: "StreamRepository",
        messages: "MessageRepository",
        patience: float = 2,
    ) -> None:
        self._accounts = accounts
        self._streams = streams
        self._messages = messages
        self._patience = patience
        self._relayed_to: datetime | None = None

    async def try_settle(self, stream: Stream) -> Settlement | None:
        """Accounting's answer; None if it did not come in time: the relay goes on asking."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._settle(stream)
        except (TimeoutError, UnavailableError):
            _log.warning("settlement pending", stream=stream.id)
            return None

    async def relay(self) -> None:
        """Settle a batch of what is pending; the next round goes on after it.

        So what accounting never answers does not keep the others waiting.
        """
        pending = await self._streams.find_unsettled(after=self._relayed_to)
        if not pending and self._relayed_to is not None:
            pending = await self._streams.find_unsettled()
        self._relayed_to = pending[-1].ended_at if pending else None
        for stream in pending:
            settlement = await self.try_settle(stream)
            if settlement is None:
                continue
            if stream.outcome is not None:
                await self._messages.record_charge(stream.answer_id, settlement.credits)
            await self._streams.record_settlement(stream.id, settlement)
            _log.info("settled late", stream=stream.id, credits=settlement.credits)

    async def _settle(self, stream: Stream) -> Settlement:
        assert stream.intent is not None  # noqa: S101 - stored with every end
        settlement = await self._accounts.settle(stream.id, stream.user_id, stream.intent)
        if settlement is None:
            _log.error("accounting knows no reservation of this stream", stream=stream.id)
            return Settlement(credits=0, status="unknown")
        return settlement
