"""Reservations of streaming sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from aula_accounting.api.schemas.fields import ModelId, SomeTokens, Tokens, UsedTokens, either
from aula_accounting.api.schemas.ledger import EntryView
from aula_accounting.domain.idempotency import digest_of
from aula_accounting.domain.ledger import LedgerEntry
from aula_accounting.domain.streaming import (
    DEFAULT_OUTPUT_TOKENS,
    ProgressReport,
    Reservation,
    ReservationStatus,
    ReserveRequest,
    SettlementKind,
    SettleRequest,
)
from aula_common.web.schemas import (
    Boolean,
    Count,
    Identifier,
    Pagination,
    RequestModel,
    ResponseModel,
    Text,
)

_MOST_FALLBACKS = 10
_LONGEST_DURATION_MS = 7 * 24 * 3600 * 1000


class InitializeRequest(RequestModel):
    """A stream about to start.

    Either `inputTokens` with `maxOutputTokens` (default 2,000), or `estimatedTokens` for both
    sides together, which are priced at the dearer of the model's two rates. `tier` and `teamId`
    say which quotas apply besides the user's own.
    """

    model_config = either(
        ({"inputTokens": "integer"}, ("estimatedTokens",)),
        ({"estimatedTokens": "integer"}, ("inputTokens", "maxOutputTokens")),
    )

    session_id: Identifier
    user_id: Identifier
    chat_session_id: Identifier | None = None
    team_id: Identifier | None = None
    tier: Identifier | None = None
    model_id: ModelId
    fallback_model_ids: Annotated[tuple[ModelId, ...], Field(max_length=_MOST_FALLBACKS)] = ()
    input_tokens: Tokens | None = None
    max_output_tokens: SomeTokens | None = None
    estimated_tokens: SomeTokens | None = None

    @model_validator(mode="after")
    def _one_kind_of_estimate(self) -> Self:
        if (self.input_tokens is None) == (self.estimated_tokens is None):
            msg = "either inputTokens or estimatedTokens must be given"
            raise ValueError(msg)
        if self.estimated_tokens is not None and self.max_output_tokens is not None:
            msg = "maxOutputTokens goes with inputTokens only"
            raise ValueError(msg)
        return self

    def to_request(self, service_id: str) -> ReserveRequest:
        """The reservation that the service asks for."""
        unsplit = self.estimated_tokens or 0
        allowance = self.max_output_tokens or DEFAULT_OUTPUT_TOKENS
        models = dict.fromkeys((self.model_id, *self.fallback_model_ids))
        return ReserveRequest(
            session_id=self.session_id,
            user_id=self.user_id,
            service_id=service_id,
            chat_session_id=self.chat_session_id,
            team_id=self.team_id,
            model_ids=tuple(models),
            input_tokens=self.input_tokens or 0,
            output_tokens=0 if unsplit else allowance,
            unsplit_tokens=unsplit,
            max_output_tokens=min(unsplit, DEFAULT_OUTPUT_TOKENS) if unsplit else allowance,
            tier=self.tier,
            digest=digest_of(
                "initialize",
                {
                    **self.model_dump(mode="json", exclude={"tier"}),
                    "max_output_tokens": None if unsplit else allowance,
                },
            ),
        )


class InitializedAnswer(ResponseModel):
    """What is held until the stream is settled, or its lease ends."""

    session_id: str
    estimated_credits: int
    allocated_credits: int
    max_output_tokens: int
    lease_expires_at: datetime
    message: str = "Credits are held for this streaming session."

    @classmethod
    def of(cls, reservation: Reservation) -> Self:
        """The answer for a reservation."""
        return cls(
            session_id=reservation.session_id,
            estimated_credits=reservation.estimated,
            allocated_credits=reservation.reserved,
            max_output_tokens=reservation.max_output_tokens,
            lease_expires_at=reservation.lease_expires_at,
        )


class HeartbeatRequest(RequestModel):
    """How many tokens were shown so far."""

    session_id: Identifier
    user_id: Identifier
    tokens_generated: Tokens

    def to_report(self) -> ProgressReport:
        """The progress reported."""
        return ProgressReport(
            session_id=self.session_id,
            user_id=self.user_id,
            tokens_generated=self.tokens_generated,
        )


class HeartbeatAnswer(ResponseModel):
    """The highest progress reported; the lease is that of the start."""

    session_id: str
    status: ReservationStatus
    tokens_generated: int
    lease_expires_at: datetime


class FinalizeRequest(UsedTokens):
    """The end of a stream with its usage: either `actualTokens`, or both sides apart.

    `modelId` is the model that answered; `duration` is in milliseconds.
    """

    session_id: Identifier
    user_id: Identifier
    model_id: ModelId | None = None
    success: Boolean = True
    duration: Annotated[Count, Field(le=_LONGEST_DURATION_MS)] | None = None

    def to_request(self, service_id: str) -> SettleRequest:
        """The settlement that the service asks for."""
        return SettleRequest(
            kind=SettlementKind.FINALIZE,
            session_id=self.session_id,
            user_id=self.user_id,
            actor_id=service_id,
            status=ReservationStatus.COMPLETED if self.success else ReservationStatus.FAILED,
            model_id=self.model_id,
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            unsplit_tokens=self.actual_tokens or 0,
            duration_ms=self.duration,
        )


class AbortRequest(RequestModel):
    """A stream that ended before its time, with what was shown of it.

    Without `inputTokens` the reserved input counts, if anything was shown.
    """

    session_id: Identifier
    user_id: Identifier
    model_id: ModelId | None = None
    input_tokens: Tokens | None = None
    tokens_generated: Tokens = 0
    reason: Annotated[Text, Field(max_length=200)] | None = None
    error: Annotated[Text, Field(max_length=2_000)] | None = None

    def to_request(self, service_id: str) -> SettleRequest:
        """The settlement that the service asks for."""
        return SettleRequest(
            kind=SettlementKind.ABORT,
            session_id=self.session_id,
            user_id=self.user_id,
            actor_id=service_id,
            status=ReservationStatus.ABORTED,
            model_id=self.model_id,
            input_tokens=self.input_tokens,
            output_tokens=self.tokens_generated,
            reason=self.reason,
            error=self.error,
        )


class SettlementAnswer(ResponseModel):
    """How a session ended, the same for whoever settles it again.

    allocated = actualCredits + refund; of the refund, `lapsed` went to allocations that had
    ended meanwhile. `partialCredits` is actualCredits under the name that aborts use. `overrun`
    is what the usage cost beyond the hold; it was not taken.
    """

    session_id: str
    status: ReservationStatus
    estimated_credits: int
    actual_credits: int
    partial_credits: int
    refund: int
    lapsed: int
    overrun: int

    @classmethod
    def of(cls, reservation: Reservation) -> Self:
        """The answer for a settled reservation."""
        settlement = reservation.settlement
        assert settlement is not None  # noqa: S101 - what is settled has one
        return cls(
            session_id=reservation.session_id,
            status=reservation.status,
            estimated_credits=reservation.estimated,
            actual_credits=settlement.charged,
            partial_credits=settlement.charged,
            refund=settlement.refund,
            lapsed=settlement.lapsed,
            overrun=settlement.overrun,
        )


class ActiveSessionView(ResponseModel):
    """A running stream."""

    session_id: str
    chat_session_id: str | None
    user_id: str
    model_id: str | None
    started_at: datetime
    allocated_credits: int = Field(validation_alias="reserved")
    tokens_generated: int


class ActiveSessionPage(ResponseModel):
    """A page of running streams, the newest first."""

    sessions: list[ActiveSessionView]
    pagination: Pagination


class SourceView(ResponseModel):
    """How much of the hold came from which allocation."""

    allocation_id: str
    amount: int


class SessionView(ResponseModel):
    """A streaming session with its holds, its entries and, once it is over, its settlement."""

    session_id: str
    user_id: str
    chat_session_id: str | None
    model_id: str | None
    status: ReservationStatus
    started_at: datetime
    lease_expires_at: datetime
    settled_at: datetime | None
    input_tokens: int
    max_output_tokens: int
    tokens_generated: int
    estimated_credits: int
    allocated_credits: int
    holds: list[SourceView]
    entries: list[EntryView]
    settlement: SettlementAnswer | None

    @classmethod
    def of(cls, reservation: Reservation, entries: Sequence[LedgerEntry]) -> Self:
        """The view of a reservation and its entries."""
        settlement = reservation.settlement
        return cls(
            session_id=reservation.session_id,
            user_id=reservation.user_id,
            chat_session_id=reservation.chat_session_id,
            model_id=reservation.model_id,
            status=reservation.status,
            started_at=reservation.started_at,
            lease_expires_at=reservation.lease_expires_at,
            settled_at=settlement.at if settlement else None,
            input_tokens=reservation.input_tokens,
            max_output_tokens=reservation.max_output_tokens,
            tokens_generated=reservation.tokens_generated,
            estimated_credits=reservation.estimated,
            allocated_credits=reservation.reserved,
            holds=[SourceView.model_validate(source) for source in reservation.sources],
            entries=[EntryView.model_validate(entry) for entry in entries],
            settlement=SettlementAnswer.of(reservation) if settlement else None,
        )
