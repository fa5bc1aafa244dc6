"""Rates."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from aula_accounting.api.schemas.fields import ModelId, Moment, RateNumber
from aula_accounting.domain.rates import Rate
from aula_common.web.schemas import RequestModel, ResponseModel

_AT_ONCE = datetime.min.replace(tzinfo=UTC)


class RateInput(RequestModel):
    """A rate to come, in credits per 1,000 tokens; without `startsAt` it starts at once."""

    model_id: ModelId
    input_rate: RateNumber
    output_rate: RateNumber
    starts_at: Moment | None = None

    def to_rate(self) -> tuple[Rate, bool]:
        """The rate, and whether it starts at once."""
        rate = Rate(
            model_id=self.model_id,
            input_rate=self.input_rate,
            output_rate=self.output_rate,
            starts_at=self.starts_at or _AT_ONCE,
        )
        return rate, self.starts_at is None


class RatesRequest(RequestModel):
    """Rates to add, all or none."""

    rates: Annotated[tuple[RateInput, ...], Field(min_length=1, max_length=200)]


class RateView(ResponseModel):
    """What a model costs from a moment on; decimal numbers as text, so that they stay exact."""

    model_id: str
    input_rate: RateNumber
    output_rate: RateNumber
    starts_at: datetime


class RatesAnswer(ResponseModel):
    """Rates by model id."""

    rates: list[RateView]
