"""A paragraph about a question, made of the question's own words."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from aula_devstack.bedrock.answers import phrases
from aula_devstack.bedrock.requests import Turn

_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
_DIFFERENCE = re.compile(r"\bdifference between (?P<topic>[^?.!\n]{3,80})", re.IGNORECASE)
_TOPIC = (
    re.compile(
        r"\b(?:tell me (?:more )?about|explain|describe|summari[sz]e|define|teach me about|"
        r"help me (?:with|understand)|(?:essay|poem|story|letter|text|paragraph) (?:about|on))"
        r"(?: to me| me)? (?!in |it\b|this\b|that\b|your)"
        r"(?:what |how |why )?(?P<topic>[^?.!,\n]{2,80})",
        re.IGNORECASE,
    ),
    re.compile(
        r"\bhow (?:do|does|did|can|could|should) (?P<topic>[^?.!,\n]{2,80}?)"
        r"(?: works?| functions?| happens?)?(?:[?.!,\n]|$)",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:what|who|why|when|where)(?:'s| is| are| was| were| do| does| did) "
        r"(?P<topic>[^?.!,\n]{2,80})",
        re.IGNORECASE,
    ),
)
_STATE = re.compile(
    r"\bwhy (?:is|are|was|were) (?P<what>(?:(?:the|an?|my|our) )?[\w'\u2019-]+) "
    r"(?P<state>[^?.!,\n]{2,60})",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:an?|some) ", re.IGNORECASE)
_LONGEST_TOPIC = 60
_KINDS = (
    ("compare", re.compile(r"\b(?:difference|compare|versus|vs)\b", re.IGNORECASE)),
    ("why", re.compile(r"\bwhy\b", re.IGNORECASE)),
    ("how", re.compile(r"\bhow\b", re.IGNORECASE)),
    ("write", re.compile(r"\b(?:write|draft|compose|poem|story|essay)\b", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class _Subject:
    topic: str
    first: str
    second: str
    kind: str


def write_prose(turns: Sequence[Turn], *, question: str, chance: random.Random) -> str:
    """About 60 to 150 words on `question`, with a look back if there were earlier questions."""
    subject = _subject(question)
    earlier = [turn.text for turn in turns[:-1] if turn.role == "user"]
    sentences = [chance.choice(phrases.OPENINGS[subject.kind])]
    if earlier:
        before = _subject(earlier[-1])
        if before.topic != subject.topic:
            sentences.append(chance.choice(phrases.LOOKS_BACK).replace("{before}", before.topic))
    sentences.extend(chance.choice(pool) for pool in phrases.BODY)
    if chance.random() < phrases.LONGER:
        sentences.append(chance.choice(phrases.ASIDES))
    sentences.append(chance.choice(phrases.CLOSINGS))
    return " ".join(_filled(sentence, subject) for sentence in sentences)


def _subject(text: str) -> _Subject:
    words = _keywords(text)
    topic = _topic(text) or " ".join(words[:4]) or "what you wrote"
    named = [word for word in words if word.lower() in topic.lower()]
    first = named[0] if named else (words[0] if words else "the subject")
    others = [word for word in words if word.lower() != first.lower()]
    second = others[-1] if others else "its context"
    kind = next((name for name, pattern in _KINDS if pattern.search(text)), "what")
    return _Subject(topic=topic, first=first, second=second, kind=kind)


def _topic(text: str) -> str | None:
    if state := _STATE.search(text):
        return f"{state['what']} being {state['state'].strip()}"
    if difference := _DIFFERENCE.search(text):
        return " ".join(difference["topic"].split())
    matches = [found for pattern in _TOPIC if (found := pattern.search(text))]
    for found in sorted(matches, key=lambda match: match.start()):
        topic = _ARTICLE.sub("", " ".join(found["topic"].split()))
        if len(topic) > _LONGEST_TOPIC:
            topic = topic[:_LONGEST_TOPIC].rsplit(" ", 1)[0]
        if _keywords(topic):
            return topic
    return None


def _keywords(text: str) -> list[str]:
    """The words of `text` that carry meaning, each once, in order."""
    words = (word for word in _WORD.findall(text) if word.lower() not in phrases.STOP_WORDS)
    unique = {word.lower(): word for word in reversed(list(words))}
    return list(reversed(unique.values()))


def _filled(sentence: str, subject: _Subject) -> str:
    text = (
        sentence.replace("{topic}", subject.topic)
        .replace("{first}", subject.first)
        .replace("{second}", subject.second)
    )
    return text[0].upper() + text[1:]
