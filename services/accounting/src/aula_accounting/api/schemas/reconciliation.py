"""The proof that balances equal the ledger."""

from datetime import datetime

from aula_common.web.schemas import ResponseModel


class TotalsView(ResponseModel):
    """Everything summed up: granted = remaining + held + charged + lapsed + revoked."""

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


class DiscrepancyView(ResponseModel):
    """Where two records of one thing differ: `expected` by the ledger, `actual` as stored."""

    field: str
    user_id: str
    allocation_id: str | None
    session_id: str | None
    expected: int
    actual: int


class ReconciliationView(ResponseModel):
    """Whether everything agrees, and where not; 100 places of each kind at most."""

    balanced: bool
    checked_at: datetime
    totals: TotalsView
    discrepancies: list[DiscrepancyView]
