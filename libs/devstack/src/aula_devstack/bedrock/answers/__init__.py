"""What the local models say: a small deterministic speaker that reads the conversation.

It is no language model. It answers what can be answered exactly (sums, counting, what was said
before) and otherwise writes a coherent paragraph about the question's own words.
"""

import hashlib
import random
from collections.abc import Sequence

from aula_devstack.bedrock.answers.prose import write_prose
from aula_devstack.bedrock.answers.recall import recall
from aula_devstack.bedrock.answers.tasks import perform
from aula_devstack.bedrock.requests import Turn
from aula_devstack.bedrock.tokens import tokenize


def answer(
    turns: Sequence[Turn], *, question: str, model_name: str, tokens: int | None = None
) -> str:
    """The answer to `question`, the last user turn without its directives.

    The same conversation gets the same answer from the same model. With `tokens`, it has exactly
    that many.
    """
    exact = recall(turns, question=question, model_name=model_name) or perform(question)
    chance = _chance(turns, question=question, model_name=model_name)
    if tokens is None:
        return exact or write_prose(turns, question=question, chance=chance)
    pieces = tokenize(exact) if exact else []
    while len(pieces) < tokens:
        more = write_prose(turns, question=question, chance=chance)
        pieces = tokenize("".join(pieces) + (" " if pieces else "") + more)
    return "".join(pieces[:tokens])


def _chance(turns: Sequence[Turn], *, question: str, model_name: str) -> random.Random:
    said = "\x1f".join([model_name, *(turn.text for turn in turns[:-1]), question])
    seed = hashlib.sha256(said.encode("utf-8", "replace")).digest()
    return random.Random(seed)  # noqa: S311  # chooses among phrases, guards nothing
