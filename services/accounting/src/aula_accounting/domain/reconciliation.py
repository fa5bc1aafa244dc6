"""The proof that balances equal the ledger."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One place where two records of the same thing differ.

    `field` names what differs, such as `allocation.charged`; `expected` is what the ledger
    (or the finer record) says, `actual` what is stored.
    """

    field: str
    user_id: str
    allocation_id: str | None
    session_id: str | None
    expected: int
    actual: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All allocations summed: granted = remaining + held + charged + lapsed + revoked."""

    accounts: int
    allocations: int
    reservations: int
    entries: int
    granted: int
    remaining: int
    held: int
    charged: int
    lapsed: int
    revoked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The result of one check of everything, on one snapshot of the database."""

    checked_at: datetime
    totals: Totals
    discrepancies: tuple[Discrepancy, ...]

    @property
    def balanced(self) -> bool:
        """Whether nothing differs."""
        return not self.discrepancies
