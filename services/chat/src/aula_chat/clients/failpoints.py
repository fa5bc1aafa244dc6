"""Failpoints at the borders of a stream: each phase of its life begins or ends at a port.

In the order of a stream: `reserved` (credits held, nothing promised), `asked` (the model has
begun, nothing shown), `chunk` (before each later piece), `answered` (usage in, end not stored),
`stored` (end stored in the stream, unsettled, the answer not among the messages), `settled`
(settled, accounting's word not yet read, the answer still not among the messages).
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from aula_chat.domain.language_models import LanguageModel, ModelEvent, Prompt, TextDelta
from aula_chat.domain.models import Rate
from aula_chat.domain.ports import CreditAccounts
from aula_chat.domain.streams import Reservation, Settlement, SettlementIntent
from aula_common.failpoints import ArmedFailpoints


class FailingAccounts:
    """CreditAccounts that may fail before and after its calls."""

    def __init__(self, accounts: CreditAccounts, failpoints: ArmedFailpoints) -> None:
        self._accounts = accounts
        self._failpoints = failpoints

    async def reserve(
        self, stream_id: str, user_id: str, session_id: str, reservation: Reservation
    ) -> int:
        """Hold credits, then come to `reserved`."""
        allowed = await self._accounts.reserve(stream_id, user_id, session_id, reservation)
        await self._failpoints.reach("reserved")
        return allowed

    async def report(self, stream_id: str, user_id: str, tokens: int) -> None:
        """Tell how many tokens have come."""
        await self._accounts.report(stream_id, user_id, tokens)

    async def settle(
        self, stream_id: str, user_id: str, intent: SettlementIntent
    ) -> Settlement | None:
        """Come to `stored`, settle, come to `settled`."""
        await self._failpoints.reach("stored")
        settlement = await self._accounts.settle(stream_id, user_id, intent)
        await self._failpoints.reach("settled")
        return settlement

    async def rates(self) -> Mapping[str, Rate]:
        """The rates in force."""
        return await self._accounts.rates()


class FailingModel:
    """A LanguageModel that may fail while it answers."""

    def __init__(self, model: LanguageModel, failpoints: ArmedFailpoints) -> None:
        self._model = model
        self._failpoints = failpoints

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The answer, by way of `asked`, `chunk` and `answered`."""
        place = "asked"
        async with aclosing(self._model.stream(prompt)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    await self._failpoints.reach(place)
                    place = "chunk"
                yield event
        await self._failpoints.reach("answered")
