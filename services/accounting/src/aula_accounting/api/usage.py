"""What was used."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_accounting.api.dependencies import (
    ContextNeeded,
    PageWanted,
    Person,
    UserIdWanted,
    whose,
)
from aula_accounting.api.schemas.fields import Moment
from aula_accounting.api.schemas.usage import (
    UsageGroupView,
    UsagePage,
    UsageSummary,
    UsageView,
)
from aula_accounting.domain.usage import UsageFilter, UsageGrouping
from aula_common.web.schemas import Pagination

router = APIRouter(prefix="/usage", tags=["usage"])


def _filter(
    principal: Person,
    user_id: UserIdWanted = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
) -> UsageFilter:
    return UsageFilter(user_id=whose(principal, user_id), since=since, until=until)


UsageWanted = Annotated[UsageFilter, Depends(_filter)]


@router.get("")
async def list_usage(context: ContextNeeded, which: UsageWanted, page: PageWanted) -> UsagePage:
    """Settled streams, one's own; for admins everybody's, or those of `userId`."""
    settled, total = await context.usage.list_usage(which, offset=page.offset, limit=page.limit)
    return UsagePage(
        usage=[UsageView.of(reservation) for reservation in settled],
        pagination=Pagination.of(page, total),
    )


@router.get("/summary")
async def summarize_usage(
    context: ContextNeeded,
    which: UsageWanted,
    by: Annotated[UsageGrouping, Query()] = UsageGrouping.DAY,
) -> UsageSummary:
    """Usage summed up by UTC day, model, service or user."""
    groups = await context.usage.summarize(which, by=by)
    return UsageSummary(by=by, groups=[UsageGroupView.model_validate(group) for group in groups])
