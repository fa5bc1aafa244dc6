"""Quotas."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from aula_accounting.domain.quotas import (
    Quota,
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaPeriod,
    QuotaScope,
    QuotaStanding,
)
from aula_accounting.domain.streaming import LARGEST_TOKENS
from aula_common.web.schemas import (
    Count,
    Identifier,
    Pagination,
    RequestModel,
    ResponseModel,
)

_MOST_QUOTAS = 200

Amount = Annotated[Count, Field(le=LARGEST_TOKENS)]


class QuotaInput(RequestModel):
    """How much each person concerned may use in a UTC day or month; null: as much as he likes.

    A tier's quota is each of its users', a team's each of its members'.
    """

    scope: QuotaScope
    subject_id: Identifier
    metric: QuotaMetric
    period: QuotaPeriod
    limit: Amount | None

    def to_quantity(self) -> tuple[QuotaKey, int | None]:
        """Which quota, and how much."""
        key = QuotaKey(
            scope=self.scope, subject_id=self.subject_id, metric=self.metric, period=self.period
        )
        return key, self.limit


class QuotasRequest(RequestModel):
    """Quotas to set or to remove, all or none."""

    quotas: Annotated[tuple[QuotaInput, ...], Field(min_length=1, max_length=_MOST_QUOTAS)]


class QuotaView(ResponseModel):
    """A quota."""

    scope: QuotaScope
    subject_id: str
    metric: QuotaMetric
    period: QuotaPeriod
    limit: int

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """The view of a quota."""
        key = quota.key
        return cls(
            scope=key.scope,
            subject_id=key.subject_id,
            metric=key.metric,
            period=key.period,
            limit=quota.quantity,
        )


class QuotasAnswer(ResponseModel):
    """The quotas that were set."""

    quotas: list[QuotaView]


class StandingView(ResponseModel):
    """How far the tightest quota of a metric and period is used, and when it begins anew."""

    metric: QuotaMetric
    period: QuotaPeriod
    limit: int
    used: int
    remaining: int
    resets_at: datetime

    @classmethod
    def of(cls, standing: QuotaStanding) -> Self:
        """The view of a standing."""
        return cls(
            metric=standing.metric,
            period=standing.period,
            limit=standing.quantity,
            used=standing.used,
            remaining=standing.remaining,
            resets_at=standing.resets_at,
        )


class QuotaPage(ResponseModel):
    """A page of quotas; `standing` is that of the person asked for, and empty without one."""

    quotas: list[QuotaView]
    standing: list[StandingView]
    pagination: Pagination


class ConsumeRequest(RequestModel):
    """What a person is about to use; `tier` and `teamId` say which quotas apply besides his own."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"minimum": 1}}}
                for name in ("sessions", "messages", "tokens", "computeSeconds", "credits")
            ]
        }
    )

    user_id: Identifier
    tier: Identifier | None = None
    team_id: Identifier | None = None
    sessions: Amount = 0
    messages: Amount = 0
    tokens: Amount = 0
    compute_seconds: Amount = 0
    credits: Amount = 0

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(self.to_amounts().values()):
            msg = "something must be consumed"
            raise ValueError(msg)
        return self

    def to_holder(self) -> QuotaHolder:
        """Whose quotas are meant."""
        teams = (self.team_id,) if self.team_id else ()
        return QuotaHolder(user_id=self.user_id, tier=self.tier, team_ids=teams)

    def to_amounts(self) -> dict[QuotaMetric, int]:
        """How much of what."""
        return {
            QuotaMetric.SESSIONS: self.sessions,
            QuotaMetric.MESSAGES: self.messages,
            QuotaMetric.TOKENS: self.tokens,
            QuotaMetric.COMPUTE_SECONDS: self.compute_seconds,
            QuotaMetric.CREDITS: self.credits,
        }


class ConsumeAnswer(ResponseModel):
    """How the quotas that apply stand afterwards."""

    standing: list[StandingView]
