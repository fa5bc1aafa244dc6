"""Writes one answer: asks the model, emits its events, ends the stream.

A generation is a task of the process and not of a request: a client that leaves changes nothing.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace

from aula_chat.domain.errors import FenceLostError
from aula_chat.domain.fences import LossPlace
from aula_chat.domain.language_models import (
    Finish,
    LanguageModel,
    Prompt,
    ProviderError,
    ProviderInterruptedError,
    ProviderReason,
    ProviderRejectedError,
    TextDelta,
    TokenUsage,
)
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.models import model_of
from aula_chat.domain.ports import CreditAccounts
from aula_chat.domain.prompts import Conversation, fit, halve
from aula_chat.domain.streams import Outcome, StreamCode, clamped
from aula_chat.domain.tokens import estimate_tokens
from aula_chat.services.conclusions import Conclusions, terminal_event
from aula_chat.services.fences import Fences
from aula_chat.services.live_streams import Answer, LiveStream
from aula_chat.services.log_writer import LogWriter
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

_log = get_logger(__name__)
_LONGEST_ANSWER = 1_000_000  # characters, far beyond any allowance: what is stored has its limits


class Generator:
    """Runs generations. All durations are in seconds."""

    def __init__(
        self,
        *,
        model: LanguageModel,
        accounts: CreditAccounts,
        conclusions: Conclusions,
        writer: LogWriter,
        fences: Fences,
        clock: Clock,
        max_duration: float,
        progress_every: float,
    ) -> None:
        self._model = model
        self._accounts = accounts
        self._conclusions = conclusions
        self._writer = writer
        self._fences = fences
        self._clock = clock
        self._max_duration = max_duration
        self._progress_every = progress_every

    async def run(self, live: LiveStream, conversation: Conversation) -> None:
        """Write the answer to its end, whatever happens; returns when it is stored and told.

        A stream that is interrupted, as it is by the end of the process, ends as such.
        """
        stream, answer = live.stream, live.answer
        self._emit(
            live,
            "start",
            {
                "sessionId": stream.session_id,
                "streamingSessionId": stream.id,
                "modelId": stream.reservation.model_ids[0],
            },
            urgent=True,
        )
        reporting = asyncio.create_task(self._report(live, answer), name="report progress")
        try:
            outcome = await self._outcome(live, answer, conversation)
            stored = await self._conclusions.conclude(
                stream, outcome, last_number=len(live.view.frames)
            )
            live.stream = stored
            event, data = terminal_event(stored)
            self._emit(live, event, data, urgent=True)
        except FenceLostError:
            self._fences.lose(live, LossPlace.END)
            await self._conclusions.withdraw(stream)
        except UnavailableError:
            _log.error("end not stored, left to recovery", stream=stream.id)
        finally:
            if live.stream.live:  # no terminal event will come from here
                live.view.abandon()
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    async def _outcome(
        self, live: LiveStream, answer: Answer, conversation: Conversation
    ) -> Outcome:
        """Generate until the answer is whole, or stopped, or broken off."""
        error: Exception | None = None
        try:
            async with live.generating(self._max_duration) as generating:
                await self._generate(live, answer, conversation)
        except asyncio.CancelledError:
            if live.fenced:
                raise
            return self._broken(answer, StreamCode.INTERRUPTED)
        except Exception as raised:  # noqa: BLE001 - whatever it was, what was shown is kept
            error = raised
        if live.fenced:
            raise FenceLostError
        if error is None or not generating.expired():
            return self._ended(live, answer, error)
        if live.stop_asked:
            return replace(
                self._broken(answer, None), status=MessageStatus.STOPPED, finish_reason="stopped"
            )
        code = StreamCode.INTERRUPTED if live.interrupt_asked else StreamCode.TIMEOUT
        return self._broken(answer, code)

    def _ended(self, live: LiveStream, answer: Answer, error: Exception | None) -> Outcome:
        if error is None:
            return Outcome(
                status=MessageStatus.COMPLETE,
                text=answer.text,
                model_id=answer.model_id,
                usage=answer.usage,
                finish_reason=answer.finish_reason,
            )
        if not isinstance(error, ProviderError):
            _log.error("generation failed", stream=live.stream.id, exc_info=error)
            return self._broken(answer, StreamCode.ERROR)
        _log.warning("provider failed", stream=live.stream.id, reason=str(error.reason))
        shown = answer.parts or isinstance(error, ProviderInterruptedError)
        return self._broken(answer, StreamCode.ERROR if shown else StreamCode.PROVIDER_UNAVAILABLE)

    def _broken(self, answer: Answer, code: StreamCode | None) -> Outcome:
        return Outcome(
            status=MessageStatus.INTERRUPTED,
            text=answer.text,
            model_id=answer.model_id,
            usage=answer.usage,
            code=code,
        )

    async def _generate(self, live: LiveStream, answer: Answer, conversation: Conversation) -> None:
        """Ask the models in order until one begins to answer; that one writes to the end."""
        reservation = live.stream.reservation
        for index, model_id in enumerate(reservation.model_ids):
            answer.model_id = model_id
            try:
                await self._stream_shortened(live, answer, conversation, fallback=index > 0)
            except ProviderError as error:
                last = index == len(reservation.model_ids) - 1
                refused = index == 0 and isinstance(error, ProviderRejectedError)
                if last or refused or answer.parts:
                    raise
                _log.warning(
                    "falling back", stream=live.stream.id, model=model_id, reason=error.reason
                )
                answer.usage = None
            else:
                return

    async def _stream_shortened(
        self, live: LiveStream, answer: Answer, conversation: Conversation, *, fallback: bool
    ) -> None:
        """Ask with half as many messages whenever the model finds them too long.

        They are estimated, and a session would refuse all that is asked in it from then on.
        """
        while True:
            try:
                await self._stream(live, answer, conversation, fallback=fallback)
            except ProviderRejectedError as error:
                if error.reason is not ProviderReason.INPUT_TOO_LONG:
                    raise
                if not halve(conversation, live.stream.question, model_of(answer.model_id)):
                    raise
                _log.info("prompt too long", stream=live.stream.id, model=answer.model_id)
            else:
                return

    async def _stream(
        self, live: LiveStream, answer: Answer, conversation: Conversation, *, fallback: bool
    ) -> None:
        prompt = _prompt(live, answer.model_id, conversation)
        async with aclosing(self._model.stream(prompt)) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        if answer.length + len(text) > _LONGEST_ANSWER:
                            raise ProviderInterruptedError(
                                provider=model_of(answer.model_id).provider,
                                reason=ProviderReason.ENDLESS,
                            )
                        if not answer.parts:
                            # no other model is asked now; they can be most of a stream's memory
                            prompt.forget()
                            conversation.forget()
                            self._emit(
                                live,
                                "model",
                                {"model": prompt.model_id, "fallbackApplied": fallback},
                            )
                        tokens = estimate_tokens(text)
                        answer.add(text)
                        answer.tokens += tokens
                        self._emit(
                            live,
                            "chunk",
                            {"text": text, "tokens": tokens, "totalTokens": answer.tokens},
                            urgent=len(answer.parts) == 1,
                        )
                    case Finish(reason):
                        answer.finish_reason = str(reason)
                    case TokenUsage():
                        answer.usage = clamped(event)

    def _emit(
        self, live: LiveStream, event: str, data: dict[str, object], *, urgent: bool = False
    ) -> None:
        live.emit(event, data)
        self._writer.submit(live, urgent=urgent)

    async def _report(self, live: LiveStream, answer: Answer) -> None:
        """Tell accounting how far it is until cancelled; every report may fail."""
        while True:
            await self._clock.sleep(self._progress_every)
            try:
                await self._accounts.report(live.stream.id, live.stream.user_id, answer.tokens)
            except UnavailableError:
                _log.info("progress not reported", stream=live.stream.id)


def _prompt(live: LiveStream, model_id: str, conversation: Conversation) -> Prompt:
    """As much of it as the model's window holds; the readers are told what is left out."""
    reservation = live.stream.reservation
    context = fit(conversation, live.stream.question, model_of(model_id))
    live.view.trim(context.dropped)
    return Prompt(
        model_id=model_id,
        turns=context.turns,
        max_output_tokens=min(reservation.max_output_tokens, context.max_output_tokens),
    )
