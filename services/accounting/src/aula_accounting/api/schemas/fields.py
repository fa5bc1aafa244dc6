"""Kinds of fields, and fields, that several nouns share."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from aula_accounting.domain.rates import LARGEST_RATE, RATE_PLACES
from aula_accounting.domain.streaming import LARGEST_TOKENS
from aula_common.web.schemas import Count, RequestModel

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE,
)
_PLAIN_NUMBER = re.compile(
    rf"{LARGEST_RATE}(\.0{{1,{RATE_PLACES}}})?|[0-9]{{1,6}}(\.[0-9]{{1,{RATE_PLACES}}})?"
)
_AS_TEXT = {"type": "string", "pattern": f"^({_PLAIN_NUMBER.pattern})$"}


def _only_text(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    msg = "must be an RFC 3339 time"
    raise ValueError(msg)


def _in_utc(moment: datetime) -> datetime:
    if not _FIRST_YEAR < moment.year < _LAST_YEAR:
        msg = f"must lie after {_FIRST_YEAR} and before {_LAST_YEAR}"
        raise ValueError(msg)
    return moment.astimezone(UTC)


def _plain_number(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value)):
        msg = "must be a number, or one as text such as 0.25"
        raise ValueError(msg)
    return value


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_only_text),
    AfterValidator(_in_utc),
    Field(json_schema_extra={"pattern": "^(197[1-9]|19[89][0-9]|[2-8][0-9]{3})-"}),
]
Tokens = Annotated[Count, Field(le=LARGEST_TOKENS)]
SomeTokens = Annotated[Count, Field(ge=1, le=LARGEST_TOKENS)]
ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
RateNumber = Annotated[
    Decimal,
    BeforeValidator(_plain_number),
    Field(ge=0, le=LARGEST_RATE, decimal_places=RATE_PLACES, allow_inf_nan=False),
    PlainSerializer(_plain, return_type=str),
    WithJsonSchema(
        {
            "description": "As a number or, exact, as text.",
            "anyOf": [
                {
                    "type": "number",
                    "minimum": 0,
                    "maximum": LARGEST_RATE,
                    "multipleOf": 10**-RATE_PLACES,
                },
                _AS_TEXT,
            ],
        },
        mode="validation",
    ),
    WithJsonSchema(_AS_TEXT, mode="serialization"),
]


def either(*ways: tuple[Mapping[str, str], Sequence[str]]) -> ConfigDict:
    """A body's members are given in one of these ways, as JSON Schema says it.

    A way is: members that must be there, with their types; members that must be null or missing.
    """
    return ConfigDict(
        json_schema_extra={
            "anyOf": [
                {
                    "required": list(given),
                    "properties": {
                        **{name: {"type": kind} for name, kind in given.items()},
                        **{name: {"type": "null"} for name in absent},
                    },
                }
                for given, absent in ways
            ]
        }
    )


class UsedTokens(RequestModel):
    """What was used: either `actualTokens`, or both sides apart."""

    model_config = either(
        ({"actualTokens": "integer"}, ("inputTokens", "outputTokens")),
        ({"inputTokens": "integer", "outputTokens": "integer"}, ("actualTokens",)),
    )

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
