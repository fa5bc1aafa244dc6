"""The end of a stream, in the one order that no crash can hurt.

Text, usage and settlement intent in one conditional write; then accounting, from the stored
intent; then the messages in their collection, with the credits, and after them the session is
freed; only then the terminal event.
A write whose acknowledgement is lost is repeated: each of them may be.
Whoever ends a stream comes through here: its owner, or whoever recovers it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from aula_chat.domain.errors import FenceLostError
from aula_chat.domain.messages import CREDITS, Message, MessageRole, MessageStatus
from aula_chat.domain.sessions import title_from
from aula_chat.domain.streams import (
    Outcome,
    Phase,
    Stream,
    StreamCode,
    intent_of,
    intent_of_refusal,
)
from aula_chat.services.settlements import Settlements
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.messages import MessageRepository
    from aula_chat.storage.streams import StreamRepository
    from aula_chat.storage.turns import TurnRepository

_log = get_logger(__name__)
_RETRY_SECONDS = 0.5
_WITHDRAWAL_SECONDS = 5.0
_Result = TypeVar("_Result")

_EXPLANATIONS = {
    StreamCode.TIMEOUT: "The answer took too long and was cut; what came is kept.",
    StreamCode.INTERRUPTED: "The answer was interrupted; what came is kept.",
    StreamCode.ERROR: "The answer broke off; what came is kept.",
    StreamCode.PROVIDER_UNAVAILABLE: "The model is not available at the moment.",
}


def answer_message(stream: Stream, outcome: Outcome) -> Message:
    """The assistant's message of an ended stream, with the credits if it is settled."""
    metadata: dict[str, Any] = {
        "requestedModel": stream.reservation.model_ids[0],
        "actualModelUsed": outcome.model_id,
        "providerId": "bedrock",
        "streamingSessionId": stream.id,
        "finishReason": outcome.finish_reason or outcome.code,
    }
    if stream.intent is not None:
        metadata["usage"] = {
            "inputTokens": stream.intent.input_tokens,
            "outputTokens": stream.intent.output_tokens,
            "estimated": outcome.usage is None,
        }
    if stream.settlement is not None:
        metadata[CREDITS] = stream.settlement.credits
    return Message(
        id=stream.answer_id,
        session_id=stream.session_id,
        user_id=stream.user_id,
        position=stream.position + 1,
        role=MessageRole.ASSISTANT,
        content=outcome.text,
        status=outcome.status,
        created_at=stream.ended_at or stream.started_at,
        metadata=metadata,
    )


def question_message(stream: Stream) -> Message:
    """The user's message of a stream."""
    return Message(
        id=stream.question_id,
        session_id=stream.session_id,
        user_id=stream.user_id,
        position=stream.position,
        role=MessageRole.USER,
        content=stream.question,
        status=MessageStatus.COMPLETE,
        created_at=stream.started_at,
    )


def terminal_event(stream: Stream) -> tuple[str, dict[str, object]]:
    """The event that ends a stream's log, from its stored document."""
    outcome, intent = stream.outcome, stream.intent
    assert outcome is not None  # noqa: S101 - only a stored end has a terminal event
    assert intent is not None  # noqa: S101 - stored together with it
    shared: dict[str, object] = {
        "sessionId": stream.session_id,
        "streamingSessionId": stream.id,
        "messageId": stream.answer_id,
        "tokens": intent.output_tokens,
        "usage": {"inputTokens": intent.input_tokens, "outputTokens": intent.output_tokens},
        "credits": stream.settlement.credits if stream.settlement else None,
        "settlement": "settled" if stream.settlement else "pending",
    }
    if outcome.status in {MessageStatus.COMPLETE, MessageStatus.STOPPED}:
        return "complete", {
            "status": str(outcome.status),
            **shared,
            "finishReason": outcome.finish_reason,
        }
    code = outcome.code or StreamCode.INTERRUPTED
    return "error", {"code": str(code), "error": _EXPLANATIONS[code], **shared}


class Conclusions:
    """Ends streams; `patience` is how long, in seconds, a database that is away is waited for."""

    def __init__(
        self,
        *,
        streams: "StreamRepository",
        messages: "MessageRepository",
        turns: "TurnRepository",
        settlements: Settlements,
        clock: Clock,
        lease_seconds: float,
        patience: float = 60,
    ) -> None:
        self._streams = streams
        self._messages = messages
        self._turns = turns
        self._settlements = settlements
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._patience = patience

    async def conclude(self, stream: Stream, outcome: Outcome, *, last_number: int) -> Stream:
        """Store the outcome and settle it; the stream as it is stored then.

        `last_number` is that of the last event before the terminal one. FenceLostError if
        another process has the stream; UnavailableError if the database stayed away: a
        recovery then does the same from what is logged.
        """
        intent = intent_of(outcome, stream.reservation)
        ended = replace(
            stream,
            phase=Phase.ENDED,
            outcome=outcome,
            intent=intent,
            ended_at=max(self._clock.now(), stream.started_at),  # which was another process's clock
            last_number=last_number + 1,
        )
        gives_up_at = self._clock.monotonic() + self._patience
        await self._insist(partial(self._store_end, ended), stream.id, gives_up_at)
        return await self._insist(partial(self.publish, ended), stream.id, gives_up_at)

    async def publish(self, ended: Stream) -> Stream:
        """From the stored end: settle, keep the messages, if any, free the session.

        Every step may be repeated, by this process or another.
        """
        settlement = await self._settlements.try_settle(ended)
        told = replace(ended, live=False, settlement=settlement)
        if ended.outcome is None:
            # of a beginning whose answer was lost; the end refuses one that is still on its way
            await self._messages.withdraw((ended.question_id,), fence=ended.fence)
            released = await self._streams.release(ended, settlement=settlement)
        else:
            released = await self._turns.publish(
                told,
                (question_message(ended), answer_message(told, ended.outcome)),
                title=title_from(ended.question),
            )
        if not released:
            raise FenceLostError
        return told

    async def refuse(self, stream: Stream, reason: str) -> None:
        """End a claim of which nothing was promised, when it is unknown whether credits are held.

        Nothing of it is kept but the intent to give them back.
        """
        ended = replace(
            stream,
            phase=Phase.ENDED,
            intent=intent_of_refusal(stream.reservation, reason),
            ended_at=self._clock.now(),
            last_number=0,
        )
        await self._store_end(ended)
        await self.publish(ended)

    async def withdraw(self, lost: Stream) -> None:
        """Take back what this process stored of a stream that was taken from it.

        Whoever took it stores the same messages under a higher fence before the session is free:
        what only lower ones have stored is still to come, or has been deleted since, by itself or
        with its session.
        """
        gives_up_at = self._clock.monotonic() + _WITHDRAWAL_SECONDS
        messages = (lost.question_id, lost.answer_id)
        step = partial(self._messages.withdraw, messages, fence=lost.fence)
        try:
            await self._insist(step, lost.id, gives_up_at)
        except UnavailableError:
            _log.warning("a lost stream's messages may come back", stream=lost.id)

    async def _insist(
        self, step: Callable[[], Awaitable[_Result]], stream_id: str, gives_up_at: float
    ) -> _Result:
        while True:
            try:
                return await step()
            except UnavailableError:
                if self._clock.monotonic() > gives_up_at:
                    raise
                _log.warning("end not stored yet", stream=stream_id)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _store_end(self, ended: Stream) -> None:
        assert ended.intent is not None  # noqa: S101 - set by both callers
        assert ended.ended_at is not None  # noqa: S101 - set by both callers
        stored = await self._streams.end(
            ended,
            outcome=ended.outcome,
            intent=ended.intent,
            last_number=ended.last_number or 0,
            ended_at=ended.ended_at,
            lease_seconds=self._lease_seconds,
        )
        if not stored:
            raise FenceLostError
