"""Kinds of fields, and fields, that several nouns share."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)

from aula_accounting.domain.rates import LARGEST_RATE, RATE_PLACES
from aula_accounting.domain.streaming import LARGEST_TOKENS
from aula_common.web.schemas import Count, RequestModel, Text

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def _only_text(value: Any) -> Any:
    if isinstance(value, datetime | str):
        return value
    msg = "must be an RFC 3339 time"
    raise ValueError(msg)


def _in_utc(moment: datetime) -> datetime:
    if not _FIRST_YEAR < moment.year < _LAST_YEAR:
        msg = f"must lie after {_FIRST_YEAR} and before {_LAST_YEAR}"
        raise ValueError(msg)
    return moment.astimezone(UTC)


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        msg = "must be a number"
        raise ValueError(msg)
    return value


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text), AfterValidator(_in_utc)]
Tokens = Annotated[Count, Field(le=LARGEST_TOKENS)]
SomeTokens = Annotated[Count, Field(ge=1, le=LARGEST_TOKENS)]
ModelId = Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
RateNumber = Annotated[
    Decimal,
    BeforeValidator(_no_boolean),
    Field(ge=0, le=LARGEST_RATE, decimal_places=RATE_PLACES, allow_inf_nan=False),
    PlainSerializer(_plain, return_type=str),
]


class UsedTokens(RequestModel):
    """What was used: either `actualTokens`, or both sides apart."""

    actual_tokens: Tokens | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None

    @model_validator(mode="after")
    def _one_kind_of_usage(self) -> Self:
        sides = (self.input_tokens is not None, self.output_tokens is not None)
        if any(sides) != all(sides) or all(sides) == (self.actual_tokens is not None):
            msg = "either actualTokens, or inputTokens and outputTokens must be given"
            raise ValueError(msg)
        return self
