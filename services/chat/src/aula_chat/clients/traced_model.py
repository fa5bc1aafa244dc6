"""A span for each answer of a model, by OpenTelemetry's conventions for generative AI."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aula_chat.domain.language_models import (
    Finish,
    LanguageModel,
    ModelEvent,
    Prompt,
    ProviderError,
    TextDelta,
    TokenUsage,
)
from aula_common.traces import Span, SpanKind, begin, fail


class TracedModel:
    """A LanguageModel whose answers have spans, from the question until the answer ends.

    `provider` is its name in those conventions. A span has the model, the counts and the moment of
    the first text, but nothing of what was asked or answered.
    """

    def __init__(self, model: LanguageModel, *, provider: str) -> None:
        self._model = model
        self._provider = provider

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """See LanguageModel.stream."""
        # not made current: what a generator sets of the context would leak to its reader
        span = begin(
            f"chat {prompt.model_id}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": prompt.model_id,
                "gen_ai.request.max_tokens": prompt.max_output_tokens,
                "gen_ai.request.stream": True,
            },
            kind=SpanKind.CLIENT,
        )
        shown = False
        try:
            async with aclosing(self._model.stream(prompt)) as events:
                async for event in events:
                    if not isinstance(event, TextDelta):
                        _describe(span, event)
                    elif not shown:
                        shown = True
                        span.add_event("first text")
                    yield event
        except ProviderError as error:
            fail(span, str(error.reason))
            raise
        finally:
            span.end()


def _describe(span: Span, event: Finish | TokenUsage) -> None:
    match event:
        case Finish(reason):
            span.set_attribute("gen_ai.response.finish_reasons", (str(reason),))
        case TokenUsage(read, written):
            span.set_attribute("gen_ai.usage.input_tokens", read)
            span.set_attribute("gen_ai.usage.output_tokens", written)
