"""What requests and answers look like: camelCase on the wire, strict, bounded."""

import math
import re
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel

from aula_common.ids import ID_PATTERN, is_id

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNCLEAN = "must not contain NUL or lone surrogates"
ID_SCHEMA: dict[str, Any] = {"pattern": f"^{ID_PATTERN.pattern}$"}
MAX_INTEGER = 2**53 - 1  # what every JSON reader represents exactly


def _is_clean(text: str) -> bool:
    """Whether databases and encoders take the text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)


def _clean(text: str) -> str:
    if not _is_clean(text):
        raise ValueError(_UNCLEAN)
    return text


def _identifier(text: str) -> str:
    if not is_id(text):
        msg = "must be an identifier of letters, digits, '-' and '_', 64 at most"
        raise ValueError(msg)
    return text


Text = Annotated[str, AfterValidator(_clean), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
Identifier = Annotated[str, AfterValidator(_identifier), Field(json_schema_extra=ID_SCHEMA)]
Integer = Annotated[int, Strict(), Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Count = Annotated[int, Strict(), Field(ge=0, le=MAX_INTEGER)]
Boolean = Annotated[bool, Strict()]


def _all_clean(data: Any) -> bool:
    waiting = [data]
    while waiting:  # no recursion: the input says how deep it is
        value = waiting.pop()
        if isinstance(value, str):
            if not _is_clean(value):
                return False
        elif isinstance(value, dict):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return True


class RequestModel(BaseModel):
    """A request's body: camelCase only; unknown fields, NUL and lone surrogates refused.

    Numbers and booleans take `Integer`, `Count` and `Boolean`, which convert nothing.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unclean(cls, data: Any) -> Any:
        if not _all_clean(data):
            raise ValueError(_UNCLEAN)
        return data


class ResponseModel(BaseModel):
    """An answer's body: built by Python names, sent in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        from_attributes=True,
        serialize_by_alias=True,
    )


class Page(BaseModel):
    """Which page of a list is asked for: `page` from 1, `limit` 1 to 100."""

    model_config = ConfigDict(frozen=True)

    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, Query(ge=1, le=100)] = 20

    @property
    def offset(self) -> int:
        """How many items come before this page."""
        return (self.page - 1) * self.limit


class Pagination(ResponseModel):
    """Where a page stands in its list."""

    total: int
    page: int
    limit: int
    pages: int

    @classmethod
    def of(cls, page: Page, total: int) -> "Pagination":
        """The pagination of a list with `total` items."""
        return cls(
            total=total, page=page.page, limit=page.limit, pages=math.ceil(total / page.limit)
        )
