"""What is remembered about access, for administrators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AuditKind(StrEnum):
    """What happened."""

    REGISTERED = "registered"
    USER_CREATED = "user_created"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SESSIONS_ENDED = "sessions_ended"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - a kind, not a token
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind, not a password
    PROFILE_CHANGED = "profile_changed"
    ACCESS_CHANGED = "access_changed"
    KEYS_ROTATED = "keys_rotated"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One entry. `actor_id` did it to `user_id`; either may be unknown or not a person."""

    id: str
    at: datetime
    kind: AuditKind
    actor_id: str | None
    user_id: str | None
    address: str | None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Which entries to list."""

    kind: AuditKind | None = None
    actor_id: str | None = None
    user_id: str | None = None
