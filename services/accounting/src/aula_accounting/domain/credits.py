"""Credits that people were given, and what is left of them."""

from dataclasses import dataclass
from datetime import datetime

LARGEST_GRANT = 1_000_000_000_000
LARGEST_BALANCE = 2**53 - 1  # what every JSON reader represents exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Credits to be given to each of the users, all or none."""

    user_ids: tuple[str, ...]
    credits: int
    expires_at: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Credits given to one user at one time.

    granted = remaining + held + charged + lapsed + revoked. What is left counts as available
    until `expires_at`; afterwards the sweeper writes it off.
    """

    id: str
    user_id: str
    granted: int
    remaining: int
    held: int
    charged: int
    lapsed: int
    revoked: int
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    created_by: str
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Credits kept for a running stream since its start."""

    session_id: str
    amount: int
    since: datetime
    chat_session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a user can spend, what is held and by which streams, and where it came from."""

    user_id: str
    available: int
    holds: tuple[Hold, ...]
    allocations: tuple[Allocation, ...]

    @property
    def held(self) -> int:
        """The sum of the holds."""
        return sum(hold.amount for hold in self.holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditCheck:
    """Whether the available credits would do for what is required."""

    required: int
    available: int

    @property
    def sufficient(self) -> bool:
        """Whether they would."""
        return self.available >= self.required
