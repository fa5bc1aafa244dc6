"""Streams and what they are made of, for tests without and with databases."""

from datetime import UTC, datetime
from typing import Any

from aula_chat.domain.events import event_frame
from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.models import CLAUDE_3_HAIKU, CLAUDE_3_SONNET
from aula_chat.domain.streams import Outcome, Phase, Reservation, Stream
from aula_common.ids import new_id

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def reservation(**changes: Any) -> Reservation:
    """A prompt of 100 tokens, an answer of 2,000 at most."""
    fields: dict[str, Any] = {
        "model_ids": (CLAUDE_3_SONNET, CLAUDE_3_HAIKU),
        "input_tokens": 100,
        "max_output_tokens": 2000,
        **changes,
    }
    return Reservation(**fields)


def stream(**changes: Any) -> Stream:
    """A running stream."""
    fields: dict[str, Any] = {
        "id": new_id("str"),
        "session_id": new_id("ses"),
        "user_id": new_id("usr"),
        "owner": "own_here",
        "fence": 1,
        "phase": Phase.RUNNING,
        "live": True,
        "stop_asked": False,
        "question": "Why is the sky blue?",
        "question_id": new_id("msg"),
        "answer_id": new_id("msg"),
        "position": 1,
        "reservation": reservation(),
        "started_at": MOMENT,
        **changes,
    }
    return Stream(**fields)


def outcome(text: str = "Because of the air.", **changes: Any) -> Outcome:
    """A whole answer with the provider's own count."""
    fields: dict[str, Any] = {
        "status": MessageStatus.COMPLETE,
        "text": text,
        "model_id": CLAUDE_3_SONNET,
        "usage": TokenUsage(90, 6),
        "finish_reason": "stop",
        **changes,
    }
    return Outcome(**fields)


def chunk(stream_id: str, number: int, text: str) -> bytes:
    """The frame of a chunk."""
    data = {"text": text, "tokens": 1, "totalTokens": number}
    return event_frame(stream_id, number, "chunk", data)
