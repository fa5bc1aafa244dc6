"""A stream: one answer being written, and what must survive of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.models import readable_by
from aula_chat.domain.sessions import Session
from aula_chat.domain.tokens import estimate_tokens
from aula_common.ids import new_id

MAX_REPORTED_TOKENS = 10_000_000  # beyond any model's window: a provider's count above is absurd


class Phase(StrEnum):
    """How far a stream has come.

    claimed: the session is taken, nothing was promised yet. running: the credits are held and
    the user's message is kept. ended: text, usage and settlement intent are stored.
    """

    CLAIMED = "claimed"
    RUNNING = "running"
    ENDED = "ended"


class StreamCode(StrEnum):
    """Why a stream ended before its time."""

    TIMEOUT = "STREAM_TIMEOUT"
    INTERRUPTED = "STREAM_INTERRUPTED"
    ERROR = "STREAM_ERROR"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What was asked of accounting for a stream: tokens of the prompt and at most of the answer.

    `tier` is the asker's, for accounting's quotas.
    """

    model_ids: tuple[str, ...]
    input_tokens: int
    max_output_tokens: int
    tier: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an answer ended: what of it is stored, and what the provider counted, if it did."""

    status: MessageStatus
    text: str
    model_id: str
    usage: TokenUsage | None = None
    finish_reason: str | None = None
    code: StreamCode | None = None


class SettlementKind(StrEnum):
    """Which of accounting's two calls settles a reservation."""

    FINALIZE = "finalize"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementIntent:
    """What accounting will be told, fixed before it is asked; the only source of a settlement."""

    kind: SettlementKind
    model_id: str
    input_tokens: int
    output_tokens: int
    success: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What accounting answered: the credits charged."""

    credits: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The text and the number of the last event, as stored while the stream ran."""

    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """A live stream that may be taken; `given_up` if its owner has said so itself."""

    stream_id: str
    given_up: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """How many ended streams accounting has not settled, and when the oldest of them ended."""

    count: int = 0
    oldest_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The stream document: the claim on the session, and all that recovery needs.

    `ended_at` is when its text was whole, `released_at` when its session was free again: settling
    lies between, and only then does the log get its end. `dropped_messages` is how many were left
    out of the prompt for the first model. `traceparent` names the span of its start, if that was
    traced.
    """

    id: str
    session_id: str
    user_id: str
    owner: str
    fence: int
    phase: Phase
    live: bool
    stop_asked: bool
    question: str
    question_id: str
    answer_id: str
    position: int
    reservation: Reservation
    started_at: datetime
    ended_at: datetime | None = None
    released_at: datetime | None = None
    dropped_messages: int = 0
    last_number: int | None = None
    checkpoint: Checkpoint = Checkpoint()
    outcome: Outcome | None = None
    intent: SettlementIntent | None = None
    settlement: Settlement | None = None
    idempotency_key: str | None = None
    body_digest: str | None = None
    traceparent: str | None = None


def claim_of(
    session: Session,
    *,
    owner: str,
    question: str,
    reservation: Reservation,
    at: datetime,
    position: int = 0,
    dropped_messages: int = 0,
    idempotency_key: str | None = None,
    body_digest: str | None = None,
    traceparent: str | None = None,
) -> Stream:
    """A new stream that claims the session; nothing is reserved or promised yet."""
    return Stream(
        id=new_id("str"),
        session_id=session.id,
        user_id=session.user_id,
        owner=owner,
        fence=1,
        phase=Phase.CLAIMED,
        live=True,
        stop_asked=False,
        question=question,
        question_id=new_id("msg"),
        answer_id=new_id("msg"),
        position=position,
        reservation=reservation,
        started_at=at,
        dropped_messages=dropped_messages,
        idempotency_key=idempotency_key,
        body_digest=body_digest,
        traceparent=traceparent,
    )


def intent_of_refusal(reservation: Reservation, reason: str) -> SettlementIntent:
    """The intent for a reserve of which nothing came: whatever is held goes back."""
    return SettlementIntent(
        kind=SettlementKind.ABORT,
        model_id=reservation.model_ids[0],
        input_tokens=0,
        output_tokens=0,
        success=False,
        reason=reason,
    )


def clamped(usage: TokenUsage) -> TokenUsage:
    """As much of a provider's count as can be meant; what is far beyond cannot even be stored."""
    return TokenUsage(
        min(usage.input_tokens, MAX_REPORTED_TOKENS), min(usage.output_tokens, MAX_REPORTED_TOKENS)
    )


def intent_of(outcome: Outcome, reservation: Reservation) -> SettlementIntent:
    """What an outcome costs.

    The provider's own usage wins, zero too; without it the estimate of the prompt, of which a
    fallback with a smaller window was given less, and the tokens of the text that was made;
    nothing when there is no text.
    """
    finished = outcome.status in {MessageStatus.COMPLETE, MessageStatus.STOPPED}
    if outcome.usage is not None:
        used = clamped(outcome.usage)
    elif outcome.text:
        read = readable_by(outcome.model_id, reservation.input_tokens)
        used = TokenUsage(read, estimate_tokens(outcome.text))
    else:
        used = TokenUsage(0, 0)
    counted = outcome.usage is not None
    return SettlementIntent(
        kind=SettlementKind.FINALIZE if finished or counted else SettlementKind.ABORT,
        model_id=outcome.model_id,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        success=finished,
        reason=outcome.code,
    )
