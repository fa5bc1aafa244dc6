"""What a request will be answered with: its tokens, why they end, what they count."""

from dataclasses import dataclass, replace
from typing import Any

from aula_devstack.bedrock.answers import answer
from aula_devstack.bedrock.directives import (
    Attempts,
    Behaviour,
    read_directives,
    without_directives,
)
from aula_devstack.bedrock.requests import ConverseRequest
from aula_devstack.bedrock.tokens import tokenize

_ABSURD_USAGE = {"inputTokens": -1, "outputTokens": 2**53, "totalTokens": "many"}


@dataclass(frozen=True, slots=True)
class Generation:
    """The whole answer, made at once; only its sending takes time."""

    request: ConverseRequest
    behaviour: Behaviour
    tokens: tuple[str, ...]
    stop_reason: str

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    def usages(self) -> tuple[dict[str, Any], ...]:
        """The `usage` members that `metadata` carries: one, unless something else was asked."""
        read, written = self.request.input_tokens, len(self.tokens)
        true = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
        match self.behaviour.usage:
            case "no-usage":
                return ()
            case "usage-twice":
                return (true, true)
            case "usage-absurd":
                return (_ABSURD_USAGE,)
            case "zero-usage":
                return ({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},)
            case "counts":
                read, written = self.behaviour.counts
                return (
                    {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
                )
        return (true,)


def generate(request: ConverseRequest, *, pace: float, attempts: Attempts) -> Generation:
    """The answer to `request`; the directives of its last user turn are obeyed.

    Raises BedrockError for a directive that can't be read.
    """
    asked = next(turn.text for turn in reversed(request.turns) if turn.role == "user")
    behaviour, question = read_directives(
        asked, model_id=request.model_id, pace=pace, attempts=attempts
    )
    if behaviour.echo:
        text = question
    else:
        turns = tuple(
            replace(turn, text=without_directives(turn.text)) if "[[" in turn.text else turn
            for turn in request.turns
        )
        text = answer(
            turns, question=question, model_name=request.model.name, tokens=behaviour.tokens
        )
    stop_reason = "end_turn"
    for stop in request.stop_sequences:
        before, found, _ = text.partition(stop)
        if found:
            text, stop_reason = before, "stop_sequence"
    tokens = tokenize(text)
    if len(tokens) > request.max_tokens:
        tokens, stop_reason = tokens[: request.max_tokens], "max_tokens"
    return Generation(
        request=request,
        behaviour=behaviour,
        tokens=tuple(tokens),
        stop_reason=behaviour.stop_reason or stop_reason,
    )
