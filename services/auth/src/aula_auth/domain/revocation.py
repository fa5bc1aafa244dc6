"""What was withdrawn before its time, for every verifier to know."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RevocationKind(StrEnum):
    """What an entry's id names: a sign-in (`sid`), or a person (`sub`)."""

    FAMILY = "family"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Tokens of that family, or of that person and issued up to `at`, are refused.

    After `expires_at` no such token can be alive.
    """

    kind: RevocationKind
    id: str
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationFeed:
    """The entries since a moment; ask next for those since `next`."""

    revocations: tuple[Revocation, ...]
    now: datetime
    next: datetime
