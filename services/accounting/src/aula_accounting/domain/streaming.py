"""The life of a reservation: reserved, reported on, settled once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from aula_accounting.domain.credits import Hold
from aula_accounting.domain.quotas import QuotaStanding

DEFAULT_OUTPUT_TOKENS = 2_000
LARGEST_TOKENS = 1_000_000_000_000


class ReservationStatus(StrEnum):
    """Where a reservation stands; every status but `active` is final."""

    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"


class SettlementKind(StrEnum):
    """Who ends a reservation."""

    FINALIZE = "finalize"
    ABORT = "abort"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRequest:
    """A stream that is about to start.

    `model_ids` begins with the model asked for, then its fallbacks; the dearest is held for.
    `digest` tells a repetition from another request under the same id. `messages` are counted in
    quotas, with the tokens, the hold and `compute_seconds`. With `at_once` the usage is known and
    settled in the same transaction: its price is held and no more.
    """

    session_id: str
    user_id: str
    service_id: str
    chat_session_id: str | None
    team_id: str | None
    model_ids: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    max_output_tokens: int
    digest: str
    tier: str | None = None
    messages: int = 1
    compute_seconds: int = 0
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRequest:
    """The end of a stream and what it used.

    `input_tokens` None means unknown: the reserved input then counts, if anything was shown.
    `model_id` is the model that answered; None is the one asked for.
    """

    kind: SettlementKind
    session_id: str
    user_id: str
    actor_id: str
    status: ReservationStatus
    model_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int = 0
    unsplit_tokens: int = 0
    duration_ms: int | None = None
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """How many tokens a running stream has shown so far."""

    session_id: str
    user_id: str
    tokens_generated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How much of a hold came from which allocation, in the order in which it was taken."""

    allocation_id: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a reservation ended: charged + refund = reserved; of the refund, `lapsed` had expired."""

    at: datetime
    by: str
    model_id: str | None
    input_tokens: int
    output_tokens: int
    unsplit_tokens: int
    charged: int
    refund: int
    lapsed: int
    overrun: int
    duration_ms: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Credits held for one streaming session, with the rates frozen when it began.

    A tombstone was never reserved: it is what an abort that came first has left.
    """

    session_id: str
    user_id: str
    status: ReservationStatus
    tombstone: bool
    service_id: str
    chat_session_id: str | None
    model_id: str | None
    rates: Mapping[str, Any]
    input_tokens: int
    max_output_tokens: int
    estimated: int
    reserved: int
    sources: tuple[Source, ...]
    started_at: datetime
    lease_expires_at: datetime
    tokens_generated: int
    settlement: Settlement | None


class ReserveVerdict(StrEnum):
    """What became of a reserve."""

    RESERVED = "reserved"
    CONFLICT = "conflict"
    SETTLED = "settled"
    UNPRICED = "unpriced"
    TOO_MANY = "too_many"
    HELD = "held"
    INSUFFICIENT = "insufficient"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Why the credits don't do: required = estimated + a buffer."""

    available: int
    required: int
    estimated: int
    held: int
    holds: tuple[Hold, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveOutcome:
    """The answer to one reserve; a repetition is answered as the first was."""

    verdict: ReserveVerdict
    reservation: Reservation | None = None
    shortage: Shortage | None = None
    unpriced_model_id: str | None = None
    quota: QuotaStanding | None = None


class SettleVerdict(StrEnum):
    """What became of a settlement."""

    SETTLED = "settled"
    ALREADY = "already"
    UNKNOWN = "unknown"
    NOT_DUE = "not_due"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleOutcome:
    """The answer to one settlement; `reservation` is None if it is unknown."""

    verdict: SettleVerdict
    reservation: Reservation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressOutcome:
    """The answer to one report; `reservation` is None if it is unknown."""

    reservation: Reservation | None


StreamingOperation = ReserveRequest | SettleRequest | ProgressReport
StreamingOutcome = ReserveOutcome | SettleOutcome | ProgressOutcome
