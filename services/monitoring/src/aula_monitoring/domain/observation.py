"""Watching a conversation as it happens."""

from dataclasses import dataclass
from enum import StrEnum

from aula_common.security.principal import Principal
from aula_common.sse import sse_frame
from aula_monitoring.domain.permission import Permission


class EndReason(StrEnum):
    """Why an observation ended."""

    FINISHED = "finished"
    LEFT = "left"
    RELATIONSHIP_ENDED = "relationship_ended"
    MODE_CHANGED = "mode_changed"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, no secret
    SIGNED_OUT = "signed_out"
    UNVERIFIED = "unverified"
    GONE = "gone"
    NOT_SHOWN = "not_shown"
    UNAVAILABLE = "unavailable"
    DRAIN = "drain"


# after these the same observer may come back and go on
_RETRY_AFTER_MS = {
    EndReason.UNVERIFIED: 5000,
    EndReason.UNAVAILABLE: 5000,
    EndReason.DRAIN: 1000,
}
# the observer is gone, or chat's own last events have said it
_SILENT = frozenset({EndReason.FINISHED, EndReason.LEFT, EndReason.NOT_SHOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One observer looking at one conversation; its id is also its audit entry's."""

    id: str
    observer: Principal
    permission: Permission
    session_id: str
    follow: bool
    last_event_id: str | None = None
    summary: bool = False


def farewell(reason: EndReason) -> bytes:
    """The last event that the observer gets from us, unnumbered; empty if there is none."""
    if reason in _SILENT:
        return b""
    if (retry_after := _RETRY_AFTER_MS.get(reason)) is not None:
        shown = "drain" if reason is EndReason.DRAIN else "unavailable"
        return sse_frame({"reason": shown, "retryAfterMs": retry_after}, event="reconnect")
    return sse_frame({"reason": reason.value}, event="ended")
