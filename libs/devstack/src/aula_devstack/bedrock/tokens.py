"""The one tokenizer of the local models, for what goes in and for what comes out.

A token is, from left to right, the first that matches: up to eight letters with at most one blank
before them; up to three digits, likewise; up to four other visible characters, likewise; up to
eight white-space characters. So `tokens` joined give the text back, and the first n tokens of a
text are also the tokens of that prefix: what was counted is what was sent.
"""

import re

_PIECE = re.compile(r" ?[^\W\d_]{1,8}| ?\d{1,3}| ?(?:[^\w\s]|_){1,4}|\s{1,8}|.", re.DOTALL)


def tokenize(text: str) -> list[str]:
    """The tokens of `text`, in order; joined they are `text` itself."""
    return _PIECE.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens `text` has; 0 for an empty one."""
    return len(_PIECE.findall(text))
