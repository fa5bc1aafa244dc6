"""A chat session: the conversation of one person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

_TITLE_CHARACTERS = 60
UNTITLED = "New chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation. `metadata` holds source, userAgent, projectId, taskId as they were given.

    `last_position` is that of the newest answer, which may be deleted since; 0 if it isn't known.
    `last_stream_id` names the stream whose answer came last.
    """

    id: str
    user_id: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    last_tokens_used: int = 0
    total_tokens_used: int = 0
    last_position: int = 0
    last_stream_id: str | None = None


def title_from(text: str) -> str:
    """A title from a first message: its first line, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= _TITLE_CHARACTERS:
        return line or UNTITLED
    return line[:_TITLE_CHARACTERS].rsplit(" ", 1)[0] + "…"
