"""The proof that balances equal the ledger."""

from fastapi import APIRouter

from aula_accounting.api.dependencies import Admin, ContextNeeded
from aula_accounting.api.schemas.reconciliation import ReconciliationView

router = APIRouter(prefix="/reconciliation", tags=["reconciliation"])


@router.get("")
async def reconcile(_principal: Admin, context: ContextNeeded) -> ReconciliationView:
    """Compare every balance with the replayed ledger, on one snapshot."""
    return ReconciliationView.model_validate(await context.reconciliation.reconcile())
