"""Questions about the conversation itself, answered from it."""

import re
from collections.abc import Iterator, Sequence

from aula_devstack.bedrock.requests import Turn

_FACT = re.compile(
    r"\bmy (?P<what>[a-z]+(?: [a-z]+){0,2}?) (?:is|was|are) "
    r"(?P<value>(?:(?! and (?:my|i)\b)[^.,;!?\n]){1,80})",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:i am called|i'm called|call me|people call me) (?P<value>[^.,;!?\n]{1,60})",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(r"\b[Ii](?: am|'m) (?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+)*)")
_ASKS_FACT = re.compile(
    r"\b(?:what|who|which|when|where)(?:'s| is| was| are) my (?P<what>[a-z]+(?: [a-z]+){0,2})\b"
    r"|\bremember my (?P<remembered>[a-z]+(?: [a-z]+){0,2})\b",
    re.IGNORECASE,
)
_ASKS_NAME = re.compile(r"\bwho am i\b|\bdo you know (?:who i am|my name)\b", re.IGNORECASE)
_ASKS_COUNT = re.compile(r"\bhow many (?:messages|turns|questions)\b", re.IGNORECASE)
_ASKS_SAID = re.compile(
    r"\bwhat (?:did i|was my|have i|were my)\b[^?]*"
    r"\b(?:say|said|ask|asked|write|wrote|tell|told|message|question)\b",
    re.IGNORECASE,
)
_ASKS_MODEL = re.compile(r"\b(?:who|what|which model) are you\b|\byour name\b", re.IGNORECASE)
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening))\b[^?]{0,40}$", re.IGNORECASE
)
_LONGEST_QUOTE = 200


def recall(turns: Sequence[Turn], *, question: str, model_name: str) -> str | None:
    """An answer out of the conversation, or None if that is not what was asked."""
    earlier = [turn.text for turn in turns[:-1] if turn.role == "user"]
    if _ASKS_COUNT.search(question):
        return _count(turns)
    if _ASKS_SAID.search(question):
        return _said(earlier, first="first" in question.lower())
    if what := _asked_fact(question):
        return _fact(earlier, what)
    if _ASKS_MODEL.search(question):
        return (
            f"I am {model_name}, as Aula's local Bedrock endpoint plays it: I read the whole "
            "conversation that I am given and answer from it, without any network."
        )
    if _GREETING.search(question):
        known = _find(earlier, "name")
        return f"Hello{f', {known}' if known else ''}! What would you like to work on today?"
    return None


def _asked_fact(question: str) -> str | None:
    if asked := _ASKS_FACT.search(question):
        return str(asked["what"] or asked["remembered"]).lower()
    return "name" if _ASKS_NAME.search(question) else None


def _count(turns: Sequence[Turn]) -> str:
    users = sum(turn.role == "user" for turn in turns)
    mine = len(turns) - users
    return (
        f"With this one there are {_plural(len(turns), 'message')} in our conversation: "
        f"{users} from you and {mine} from me."
    )


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _fact(earlier: Sequence[str], what: str) -> str:
    value = _find(earlier, what)
    if value is None:
        return f"You have not told me your {what} in this conversation yet."
    return f"Your {what} is {value}; you told me so earlier in this conversation."


def _find(earlier: Sequence[str], what: str) -> str | None:
    """The latest value that the user gave for `what`."""
    for text in reversed(earlier):
        values = [value for name, value in _facts(text) if name == what]
        if values:
            return values[-1]
    return None


def _facts(text: str) -> Iterator[tuple[str, str]]:
    for fact in _FACT.finditer(text):
        yield fact["what"].lower(), fact["value"].strip()
    for pattern in (_INTRODUCTION, _NAME):
        for name in pattern.finditer(text):
            yield "name", name["value"].strip()


def _said(earlier: Sequence[str], *, first: bool) -> str:
    if not earlier:
        return "This is the first message that I have from you in this conversation."
    quote = " ".join(earlier[0 if first else -1].split())
    if len(quote) > _LONGEST_QUOTE:
        quote = quote[:_LONGEST_QUOTE].rstrip() + "…"
    return f"{'First of all' if first else 'Just before this'} you wrote: “{quote}”"
