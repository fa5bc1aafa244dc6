"""Balances, checks, allocations."""

from fastapi import APIRouter

from aula_accounting.api.dependencies import (
    Admin,
    AllocationIdInPath,
    ContextNeeded,
    CreditReader,
    KeyNeeded,
    PageWanted,
    Person,
    UserIdWanted,
    one_user,
    sees_all,
    whose,
)
from aula_accounting.api.links import OF_ALLOCATIONS
from aula_accounting.api.schemas.credits import (
    AdminAllocationView,
    AllocateAnswer,
    AllocateRequest,
    AllocationPage,
    AllocationView,
    BalanceView,
    CheckAnswer,
    CheckRequest,
)
from aula_accounting.domain.errors import AllocationRevokedError
from aula_common.errors import IdempotencyKeyReusedError, NotFoundError
from aula_common.web.answers import refusals
from aula_common.web.schemas import Pagination

router = APIRouter(prefix="/credits", tags=["credits"])


@router.get("")
async def get_credits(
    principal: CreditReader, context: ContextNeeded, user_id: UserIdWanted = None
) -> BalanceView:
    """What is available and held; one's own, or for admins and services that of `userId`."""
    return BalanceView.of(await context.credits.get_balance(one_user(principal, user_id)))


@router.post("/check")
async def check_credits(
    principal: CreditReader, context: ContextNeeded, body: CheckRequest
) -> CheckAnswer:
    """Whether the credits would do now. It promises nothing: only a reservation does."""
    user_id = one_user(principal, body.user_id)
    if body.model_id is not None and body.estimated_tokens is not None:
        check = await context.credits.check_model(user_id, body.model_id, body.estimated_tokens)
    else:
        check = await context.credits.check_credits(user_id, body.credits or 0)
    return CheckAnswer.model_validate(check)


@router.post(
    "/allocate",
    status_code=201,
    responses={**refusals(IdempotencyKeyReusedError), **OF_ALLOCATIONS},
)
async def allocate_credits(
    principal: Admin, context: ContextNeeded, key: KeyNeeded, body: AllocateRequest
) -> AllocateAnswer:
    """Give credits to one user or to each of several: all or none."""
    allocations = await context.credits.allocate(body.to_grant(), actor_id=principal.id, key=key)
    return AllocateAnswer(allocations=[AdminAllocationView.of(given) for given in allocations])


@router.get("/allocations")
async def list_allocations(
    principal: Person, context: ContextNeeded, page: PageWanted, user_id: UserIdWanted = None
) -> AllocationPage:
    """One's own allocations; for admins everybody's, or those of `userId`."""
    allocations, total = await context.credits.list_allocations(
        whose(principal, user_id), offset=page.offset, limit=page.limit
    )
    view = AdminAllocationView if sees_all(principal) else AllocationView
    return AllocationPage(
        allocations=[view.of(allocation) for allocation in allocations],
        pagination=Pagination.of(page, total),
    )


@router.post(
    "/allocations/{allocationId}/revoke",
    operation_id="revoke_allocation",
    responses=refusals(NotFoundError, IdempotencyKeyReusedError, AllocationRevokedError),
)
async def revoke_allocation(
    principal: Admin, context: ContextNeeded, key: KeyNeeded, allocation_id: AllocationIdInPath
) -> AdminAllocationView:
    """Take back what is left; what running streams hold of it stays theirs until they end."""
    revoked = await context.credits.revoke(allocation_id, actor_id=principal.id, key=key)
    return AdminAllocationView.of(revoked)
