"""What models cost."""

from typing import Annotated

from fastapi import APIRouter, Query

from aula_accounting.api.dependencies import Admin, ContextNeeded, RateReader
from aula_accounting.api.schemas.fields import ModelId
from aula_accounting.api.schemas.rates import RatesAnswer, RatesRequest, RateView
from aula_accounting.domain.rates import Rate

router = APIRouter(prefix="/rates", tags=["rates"])


@router.get("")
async def list_rates(
    _principal: RateReader,
    context: ContextNeeded,
    *,
    history: Annotated[bool, Query(description="Also what was and what is to come.")] = False,
    model_id: Annotated[ModelId | None, Query(alias="modelId")] = None,
) -> RatesAnswer:
    """The rates of all models, or of one, as they are now."""
    if history:
        rates = await context.rates.list_history(model_id=model_id)
    else:
        rates = await context.rates.list_current(model_id=model_id)
    return RatesAnswer(rates=[_view(rate) for rate in rates])


@router.put("")
async def put_rates(principal: Admin, context: ContextNeeded, body: RatesRequest) -> RatesAnswer:
    """Add rates from now on or from a moment to come. Running reservations keep theirs."""
    rates = await context.rates.put([rate.to_rate() for rate in body.rates], actor_id=principal.id)
    return RatesAnswer(rates=[_view(rate) for rate in rates])


def _view(rate: Rate) -> RateView:
    return RateView.model_validate(rate)
