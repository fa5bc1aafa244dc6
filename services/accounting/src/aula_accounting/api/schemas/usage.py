"""Usage."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field

from aula_accounting.api.schemas.fields import ModelId, UsedTokens
from aula_accounting.domain.streaming import Reservation, ReservationStatus
from aula_accounting.domain.usage import TrackedUsage, UsageGrouping
from aula_common.web.schemas import Count, Identifier, Pagination, ResponseModel

_LONGEST_COMPUTATION = 7 * 24 * 3600


class TrackRequest(UsedTokens):
    """Usage that is no stream: either `inputTokens` and `outputTokens`, or `actualTokens`.

    `computeSeconds`, `tier` and `teamId` are for quotas.
    """

    user_id: Identifier
    model_id: ModelId
    compute_seconds: Annotated[Count, Field(le=_LONGEST_COMPUTATION)] = 0
    chat_session_id: Identifier | None = None
    team_id: Identifier | None = None
    tier: Identifier | None = None

    def to_usage(self) -> TrackedUsage:
        """The usage to charge."""
        return TrackedUsage(
            user_id=self.user_id,
            model_id=self.model_id,
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            unsplit_tokens=self.actual_tokens or 0,
            compute_seconds=self.compute_seconds,
            chat_session_id=self.chat_session_id,
            team_id=self.team_id,
            tier=self.tier,
        )


class TrackedAnswer(ResponseModel):
    """What was charged; the session is found among the streaming sessions."""

    session_id: str
    user_id: str
    model_id: str
    credits: int
    at: datetime


class UsageView(ResponseModel):
    """What one stream used, or one use outside streams.

    `unsplitTokens` are those whose side was not reported.
    """

    session_id: str
    chat_session_id: str | None
    user_id: str
    model_id: str | None
    service: str
    status: ReservationStatus
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    credits: int
    overrun: int
    started_at: datetime
    settled_at: datetime
    duration: int | None

    @classmethod
    def of(cls, reservation: Reservation) -> Self:
        """The usage of a settled reservation."""
        settlement = reservation.settlement
        assert settlement is not None  # noqa: S101 - what is settled has one
        return cls(
            session_id=reservation.session_id,
            chat_session_id=reservation.chat_session_id,
            user_id=reservation.user_id,
            model_id=settlement.model_id,
            service=reservation.service_id,
            status=reservation.status,
            input_tokens=settlement.input_tokens,
            output_tokens=settlement.output_tokens,
            unsplit_tokens=settlement.unsplit_tokens,
            credits=settlement.charged,
            overrun=settlement.overrun,
            started_at=reservation.started_at,
            settled_at=settlement.at,
            duration=settlement.duration_ms,
        )


class UsagePage(ResponseModel):
    """A page of usage, the newest first."""

    usage: list[UsageView]
    pagination: Pagination


class UsageGroupView(ResponseModel):
    """Usage summed up under a date, a model's, a service's or a user's id.

    `streams` counts uses outside streams too.
    """

    key: str
    streams: int
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    credits: int
    overrun: int


class UsageSummary(ResponseModel):
    """A page of usage by one key: the newest days first, else the dearest first."""

    by: UsageGrouping
    time_zone: Literal["UTC"] = "UTC"
    groups: list[UsageGroupView]
    pagination: Pagination
