"""Ledger entries."""

from datetime import datetime

from aula_accounting.domain.ledger import EntryKind
from aula_common.web.schemas import Pagination, ResponseModel


class EntryView(ResponseModel):
    """One movement of credits; `settle` closes a session and moves nothing by itself."""

    id: int
    user_id: str
    kind: EntryKind
    amount: int
    allocation_id: str | None
    session_id: str | None
    actor_id: str
    recorded_at: datetime


class LedgerPage(ResponseModel):
    """A page of the ledger, the newest entries first."""

    entries: list[EntryView]
    pagination: Pagination
