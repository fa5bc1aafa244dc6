"""What was used."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from aula_accounting.api.csv_answers import CSV_ANSWER, CsvPreferred, csv_response
from aula_accounting.api.dependencies import (
    ContextNeeded,
    KeyNeeded,
    PageWanted,
    Person,
    StreamingService,
    UserIdWanted,
    whose,
)
from aula_accounting.api.schemas.fields import Moment
from aula_accounting.api.schemas.usage import (
    TrackedAnswer,
    TrackRequest,
    UsageGroupView,
    UsagePage,
    UsageSummary,
    UsageView,
)
from aula_accounting.domain.errors import (
    CreditsHeldError,
    InsufficientCreditsError,
    QuotaExceededError,
)
from aula_accounting.domain.usage import UsageFilter, UsageGrouping
from aula_common.errors import IdempotencyKeyReusedError
from aula_common.web.answers import refusals
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


@router.post(
    "/track",
    status_code=201,
    responses=refusals(
        InsufficientCreditsError, CreditsHeldError, IdempotencyKeyReusedError, QuotaExceededError
    ),
)
async def track_usage(
    principal: StreamingService, context: ContextNeeded, key: KeyNeeded, body: TrackRequest
) -> TrackedAnswer:
    """Charge usage that is no stream, reserved and settled in one call; once for each key."""
    receipt = await context.usage.track(body.to_usage(), service_id=principal.id, key=key)
    return TrackedAnswer.model_validate(receipt)


@router.get("", response_model=UsagePage, responses=CSV_ANSWER)
async def list_usage(
    context: ContextNeeded, which: UsageWanted, page: PageWanted, *, as_csv: CsvPreferred
) -> UsagePage | Response:
    """What was settled, one's own; for admins everybody's, or that of `userId`. Times are UTC."""
    settled, total = await context.usage.list_usage(which, offset=page.offset, limit=page.limit)
    usage = [UsageView.of(reservation) for reservation in settled]
    pagination = Pagination.of(page, total)
    if as_csv:
        return csv_response(tuple(UsageView.model_fields), usage, pagination)
    return UsagePage(usage=usage, pagination=pagination)


@router.get("/summary", response_model=UsageSummary, responses=CSV_ANSWER)
async def summarize_usage(
    context: ContextNeeded,
    which: UsageWanted,
    page: PageWanted,
    by: Annotated[UsageGrouping, Query()] = UsageGrouping.DAY,
    *,
    as_csv: CsvPreferred,
) -> UsageSummary | Response:
    """Usage summed up by day (of UTC, by the time of settlement), model, service or user."""
    groups, total = await context.usage.summarize(
        which, by=by, offset=page.offset, limit=page.limit
    )
    views = [UsageGroupView.model_validate(group) for group in groups]
    pagination = Pagination.of(page, total)
    if as_csv:
        return csv_response(tuple(UsageGroupView.model_fields), views, pagination)
    return UsageSummary(by=by, groups=views, pagination=pagination)
