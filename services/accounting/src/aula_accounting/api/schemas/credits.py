"""Allocations, balances, checks."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from aula_accounting.api.schemas.fields import ModelId, Moment, SomeTokens, either
from aula_accounting.domain.credits import LARGEST_GRANT, Allocation, Balance, Grant
from aula_common.web.schemas import (
    Count,
    Identifier,
    Integer,
    Pagination,
    RequestModel,
    ResponseModel,
    Text,
)

_MOST_USERS = 1_000


class AllocateRequest(RequestModel):
    """Credits for one user or for each of several."""

    model_config = either(({"userId": "string"}, ("userIds",)), ({"userIds": "array"}, ("userId",)))

    user_id: Identifier | None = None
    user_ids: (
        Annotated[
            tuple[Identifier, ...],
            Field(min_length=1, max_length=_MOST_USERS, json_schema_extra={"uniqueItems": True}),
        ]
        | None
    ) = None
    credits: Annotated[Integer, Field(ge=1, le=LARGEST_GRANT)]
    expires_at: Moment | None = None
    note: Annotated[Text, Field(max_length=500)] | None = None

    @model_validator(mode="after")
    def _one_kind_of_receiver(self) -> Self:
        if (self.user_id is None) == (self.user_ids is None):
            msg = "either userId or userIds must be given"
            raise ValueError(msg)
        if self.user_ids is not None and len(set(self.user_ids)) < len(self.user_ids):
            msg = "userIds must not name anybody twice"
            raise ValueError(msg)
        return self

    def to_grant(self) -> Grant:
        """The grant asked for."""
        return Grant(
            user_ids=self.user_ids or (self.user_id or "",),
            credits=self.credits,
            expires_at=self.expires_at,
            note=self.note,
        )


class CheckRequest(RequestModel):
    """Either a number of credits, or a model and tokens; `userId` for services and admins."""

    model_config = either(
        ({"credits": "integer"}, ("modelId", "estimatedTokens")),
        ({"modelId": "string", "estimatedTokens": "integer"}, ("credits",)),
    )

    user_id: Identifier | None = None
    credits: Annotated[Count, Field(le=LARGEST_GRANT)] | None = None
    model_id: ModelId | None = None
    estimated_tokens: SomeTokens | None = None

    @model_validator(mode="after")
    def _one_kind_of_question(self) -> Self:
        by_model = self.model_id is not None and self.estimated_tokens is not None
        half = (self.model_id is None) != (self.estimated_tokens is None)
        if half or by_model == (self.credits is not None):
            msg = "either credits, or modelId and estimatedTokens must be given"
            raise ValueError(msg)
        return self


class CheckAnswer(ResponseModel):
    """Whether the credits would do; `required` includes the buffer of a hold."""

    sufficient: bool
    required: int
    available: int


class AllocationView(ResponseModel):
    """An allocation: granted = remaining + held + charged + lapsed + revoked."""

    allocation_id: str
    user_id: str
    granted: int
    remaining: int
    held: int
    charged: int
    lapsed: int
    revoked: int
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, allocation: Allocation) -> Self:
        """The view of an allocation, with as much as this kind of view shows."""
        return cls.model_validate({**_fields(allocation), "allocation_id": allocation.id})


class AdminAllocationView(AllocationView):
    """An allocation with who gave it and why."""

    created_by: str
    note: str | None


def _fields(allocation: Allocation) -> dict[str, object]:
    return {name: getattr(allocation, name) for name in allocation.__dataclass_fields__}


class AllocateAnswer(ResponseModel):
    """What was given, in the order of the users."""

    allocations: list[AdminAllocationView]


class AllocationPage(ResponseModel):
    """A page of allocations, the newest first."""

    allocations: list[AllocationView | AdminAllocationView]
    pagination: Pagination


class HoldView(ResponseModel):
    """Credits that a running stream keeps."""

    session_id: str
    amount: int
    since: datetime
    chat_session_id: str | None


class BalanceView(ResponseModel):
    """What a user has; `allocations` are those that still hold something, soonest expiry first."""

    user_id: str
    available: int
    held: int
    holds: list[HoldView]
    allocations: list[AllocationView]

    @classmethod
    def of(cls, balance: Balance) -> Self:
        """The view of a balance."""
        return cls(
            user_id=balance.user_id,
            available=balance.available,
            held=balance.held,
            holds=[HoldView.model_validate(hold) for hold in balance.holds],
            allocations=[AllocationView.of(allocation) for allocation in balance.allocations],
        )
