"""What of a conversation a model is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from aula_chat.domain.language_models import Turn, merge_turns
from aula_chat.domain.models import DEFAULT_OUTPUT_TOKENS, Model
from aula_chat.domain.tokens import estimate_prompt, estimate_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The turns for a model, what they are estimated at, and how long the answer may be.

    `dropped` counts the turns that did not fit into the model's window; tokens are estimates.
    """

    turns: tuple[Turn, ...]
    input_tokens: int
    max_output_tokens: int
    dropped: int


def fit(turns: Sequence[Turn], model: Model) -> Context:
    """The newest turns that leave the model room to answer; the last one always stays."""
    allowance = min(DEFAULT_OUTPUT_TOKENS, model.max_output_tokens, model.context_window // 2)
    room = model.context_window - allowance
    kept = len(turns) - 1
    room -= estimate_tokens(turns[-1].text)
    while kept > 0 and (cost := estimate_tokens(turns[kept - 1].text)) <= room:
        room -= cost
        kept -= 1
    merged = merge_turns(turns[kept:])
    return Context(
        turns=merged,
        input_tokens=estimate_prompt(turn.text for turn in merged),
        max_output_tokens=allowance,
        dropped=kept,
    )
