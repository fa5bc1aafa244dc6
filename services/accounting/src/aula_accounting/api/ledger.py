"""The ledger."""

from fastapi import APIRouter

from aula_accounting.api.dependencies import (
    ContextNeeded,
    PageWanted,
    Person,
    UserIdWanted,
    whose,
)
from aula_accounting.api.schemas.ledger import EntryView, LedgerPage
from aula_common.web.schemas import Pagination

router = APIRouter(prefix="/ledger", tags=["ledger"])


@router.get("")
async def list_entries(
    principal: Person, context: ContextNeeded, page: PageWanted, user_id: UserIdWanted = None
) -> LedgerPage:
    """One's own entries, the newest first; for admins everybody's, or those of `userId`."""
    entries, total = await context.ledger.list_entries(
        whose(principal, user_id), offset=page.offset, limit=page.limit
    )
    return LedgerPage(
        entries=[EntryView.model_validate(entry) for entry in entries],
        pagination=Pagination.of(page, total),
    )
