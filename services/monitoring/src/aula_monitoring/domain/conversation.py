"""Conversations as chat hands them over, and what is left of them without their text."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

# what is not named here is text, or may come to be
_SESSION = frozenset(
    {"sessionId", "modelId", "agentId", "teamId", "createdAt", "updatedAt", "messageCount"}
)
_SESSION_METADATA = frozenset(
    {"source", "streamingSessionId", "activeStreamingSession", "lastTokensUsed", "totalTokensUsed"}
)
_MESSAGE = frozenset({"id", "role", "timestamp", "status"})
_MESSAGE_METADATA = frozenset(
    {"requestedModel", "actualModelUsed", "providerId", "usage", "finishReason"}
)


def summarise_session(session: Document) -> dict[str, Any]:
    """A conversation without its title and without what was written in it."""
    summary = _without_text(session, _SESSION, _SESSION_METADATA)
    if isinstance(messages := session.get("messages"), list):
        summary["messages"] = [
            _without_text(message, _MESSAGE, _MESSAGE_METADATA) for message in messages
        ]
    return summary


def summarise_list(document: Document) -> dict[str, Any]:
    """A page of conversations, each without text."""
    sessions = [summarise_session(session) for session in document.get("sessions", [])]
    return {"sessions": sessions, "pagination": document.get("pagination")}


def _without_text(
    document: Document, fields: frozenset[str], metadata_fields: frozenset[str]
) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key in fields}
    if isinstance(metadata := document.get("metadata"), dict):
        kept["metadata"] = {k: v for k, v in metadata.items() if k in metadata_fields}
    return kept
