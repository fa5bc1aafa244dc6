"""The append-only record of every movement of credits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EntryKind(StrEnum):
    """From where to where an entry moves its amount; `settle` closes a reservation, moves nothing.

    allocate: issued → remaining · hold: remaining → held · charge: held → charged ·
    refund: held → remaining · lapse: held → lapsed · expire: remaining → lapsed ·
    revoke: remaining → revoked · settle: the sum of the session's charges, once a reservation.
    """

    ALLOCATE = "allocate"
    HOLD = "hold"
    CHARGE = "charge"
    REFUND = "refund"
    LAPSE = "lapse"
    EXPIRE = "expire"
    REVOKE = "revoke"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One movement. It holds ids and no free text."""

    id: int
    user_id: str
    kind: EntryKind
    amount: int
    allocation_id: str | None
    session_id: str | None
    actor_id: str
    recorded_at: datetime
