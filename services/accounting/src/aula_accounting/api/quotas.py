"""Quotas by day and month."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_accounting.api.dependencies import (
    Admin,
    ContextNeeded,
    CreditReader,
    KeyNeeded,
    PageWanted,
    StreamingService,
    UserIdWanted,
    one_user,
    sees_all,
)
from aula_accounting.api.schemas.quotas import (
    ConsumeAnswer,
    ConsumeRequest,
    QuotaPage,
    QuotasAnswer,
    QuotasRequest,
    QuotaView,
    StandingView,
)
from aula_accounting.domain.errors import QuotaExceededError
from aula_accounting.domain.quotas import QuotaHolder
from aula_common.errors import IdempotencyKeyReusedError
from aula_common.web.answers import refusals
from aula_common.web.schemas import Identifier, Pagination

router = APIRouter(prefix="/quotas", tags=["quotas"])


def _holder(
    principal: CreditReader,
    user_id: UserIdWanted = None,
    tier: Annotated[Identifier | None, Query(description="Of `userId`.")] = None,
    team_id: Annotated[Identifier | None, Query(alias="teamId")] = None,
) -> QuotaHolder | None:
    if not sees_all(principal):
        return QuotaHolder(
            user_id=one_user(principal, user_id), tier=principal.tier, team_ids=principal.teams
        )
    if (named := user_id or principal.acting_for) is None:
        return None
    return QuotaHolder(user_id=named, tier=tier, team_ids=(team_id,) if team_id else ())


HolderWanted = Annotated[QuotaHolder | None, Depends(_holder)]


@router.get("")
async def list_quotas(context: ContextNeeded, holder: HolderWanted, page: PageWanted) -> QuotaPage:
    """What applies to oneself, and how far it is used.

    For admins and services all quotas, or those of `userId`, of whose tier and team they say what
    they know.
    """
    quotas, total = await context.quotas.list_quotas(holder, offset=page.offset, limit=page.limit)
    standing = await context.quotas.get_standing(holder) if holder else ()
    return QuotaPage(
        quotas=[QuotaView.of(quota) for quota in quotas],
        standing=[StandingView.of(one) for one in standing],
        pagination=Pagination.of(page, total),
    )


@router.put("")
async def put_quotas(principal: Admin, context: ContextNeeded, body: QuotasRequest) -> QuotasAnswer:
    """Set quotas, all or none; a `limit` of null removes one. It holds from the next use on."""
    new = await context.quotas.put(
        [quota.to_quantity() for quota in body.quotas], actor_id=principal.id
    )
    return QuotasAnswer(quotas=[QuotaView.of(quota) for quota in new])


@router.post("/consume", responses=refusals(IdempotencyKeyReusedError, QuotaExceededError))
async def consume_quota(
    principal: StreamingService, context: ContextNeeded, key: KeyNeeded, body: ConsumeRequest
) -> ConsumeAnswer:
    """Count what is used outside of initialize, all or none; once for each key."""
    standing = await context.quotas.consume(
        body.to_holder(), body.to_amounts(), caller_id=principal.id, key=key
    )
    return ConsumeAnswer(standing=[StandingView.of(one) for one in standing])
