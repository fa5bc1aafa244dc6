"""Estimates of tokens, for when the provider has not counted."""

import math
from collections.abc import Iterable

_BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: its UTF-8 bytes / 3, rounded up.

    Deliberately high for English (about 4 bytes a token) and close for languages that need
    more bytes for a letter, so that a reservation covers the prompt.
    """
    return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN)


def bytes_within(tokens: int) -> int:
    """How many UTF-8 bytes are estimated at no more than so many tokens."""
    return tokens * _BYTES_PER_TOKEN


def estimate_prompt(texts: Iterable[str]) -> int:
    """About how many tokens a prompt of these texts has, one at least."""
    return max(1, math.ceil(sum(len(text.encode()) for text in texts) / _BYTES_PER_TOKEN))
