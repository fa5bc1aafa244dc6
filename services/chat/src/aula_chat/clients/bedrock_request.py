"""A prompt as the members of a ConverseStream request."""

import re
from typing import Any

from aula_chat.clients.surrogates import mend
from aula_chat.domain.language_models import Prompt

_TAKES_NO_SYSTEM = re.compile(r"(?:^|[./])(?:amazon\.)?titan-text-|(?:^|[./])mistral-7b-|mixtral-")


def converse_request(prompt: Prompt) -> dict[str, Any]:
    """Arguments for `converse_stream`.

    A model that refuses system prompts (a fallback may lead to one) gets it at the head of the
    user's first turn instead.
    """
    texts = [mend(turn.text) for turn in prompt.turns]
    request: dict[str, Any] = {
        "modelId": prompt.model_id,
        "inferenceConfig": {"maxTokens": prompt.max_output_tokens},
    }
    system = mend(prompt.system or "").strip()
    if system and _TAKES_NO_SYSTEM.search(prompt.model_id):
        texts[:1] = [f"{system}\n\n{text}" for text in texts[:1]]
    elif system:
        request["system"] = [{"text": system}]
    request["messages"] = [
        {"role": turn.role, "content": [{"text": text}]}
        for turn, text in zip(prompt.turns, texts, strict=True)
    ]
    return request
