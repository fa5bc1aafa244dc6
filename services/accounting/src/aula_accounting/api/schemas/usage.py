"""Usage."""

from datetime import datetime
from typing import Self

from aula_accounting.domain.streaming import Reservation, ReservationStatus
from aula_accounting.domain.usage import UsageGrouping
from aula_common.web.schemas import Pagination, ResponseModel


class UsageView(ResponseModel):
    """What one stream used; `unsplitTokens` are those whose side was not reported."""

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
    """Usage summed up under a date, a model's, a service's or a user's id."""

    key: str
    streams: int
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    credits: int
    overrun: int


class UsageSummary(ResponseModel):
    """Usage by one key; 1,000 groups at most."""

    by: UsageGrouping
    groups: list[UsageGroupView]
