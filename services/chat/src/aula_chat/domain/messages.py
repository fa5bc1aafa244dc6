"""A message of a conversation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

CREDITS = "credits"  # in an answer's metadata, once it is settled


class MessageRole(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


class MessageStatus(StrEnum):
    """How a message ended; one that is still being written is in no conversation yet."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. `position` orders the messages of a session; it grows and may have gaps."""

    id: str
    session_id: str
    user_id: str
    position: int
    role: MessageRole
    content: str
    status: MessageStatus
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
