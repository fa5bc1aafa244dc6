"""What accounting refuses, and why."""

from math import ceil

from aula_accounting.domain.credits import LARGEST_BALANCE
from aula_accounting.domain.quotas import QuotaStanding
from aula_accounting.domain.streaming import ReservationStatus, Shortage
from aula_common.errors import (
    AulaError,
    ConflictError,
    InvalidFieldError,
    RateLimitedError,
    UnavailableError,
)


class _ShortageError(AulaError):
    status = 402
    title = "Payment required"

    def __init__(self, detail: str, shortage: Shortage, *, with_holds: bool) -> None:
        extra: dict[str, object] = {
            "available": shortage.available,
            "required": shortage.required,
            "estimatedCredits": shortage.estimated,
            "bufferRequired": shortage.required - shortage.estimated,
        }
        if with_holds:
            extra["held"] = shortage.held
            extra["holds"] = [
                {
                    "sessionId": hold.session_id,
                    "amount": hold.amount,
                    "since": hold.since.isoformat().replace("+00:00", "Z"),
                    "chatSessionId": hold.chat_session_id,
                }
                for hold in shortage.holds
            ]
        super().__init__(detail, extra=extra)


class InsufficientCreditsError(_ShortageError):
    """The user does not have the credits."""

    code = "insufficient_credits"

    def __init__(self, shortage: Shortage) -> None:
        super().__init__(
            f"{shortage.required} credits are required, {shortage.available} are available.",
            shortage,
            with_holds=False,
        )


class CreditsHeldError(_ShortageError):
    """The user has the credits, but running streams hold them."""

    code = "credits_held"

    def __init__(self, shortage: Shortage) -> None:
        super().__init__(
            f"{shortage.required} credits are required, {shortage.available} are available and "
            f"{shortage.held} are held by running streams.",
            shortage,
            with_holds=True,
        )


class TooManyStreamsError(RateLimitedError):
    """As many streams of the user run as may."""

    code = "too_many_streams"
    title = "Too many streams"

    def __init__(self, limit: int) -> None:
        super().__init__(
            retry_after=5, limit=limit, detail=f"{limit} streams may run at once for each user."
        )


class QuotaExceededError(RateLimitedError):
    """A quota leaves no room until its period ends."""

    code = "quota_exceeded"
    title = "Quota exceeded"

    def __init__(self, quota: QuotaStanding) -> None:
        super().__init__(
            retry_after=max(1, ceil((quota.resets_at - quota.at).total_seconds())),
            limit=quota.quantity,
            remaining=quota.remaining,
            reset_at=int(quota.resets_at.timestamp()),
            detail=f"The {quota.period}'s quota of {quota.metric} leaves no room for this.",
            extra={
                "metric": quota.metric.value,
                "period": quota.period.value,
                "limit": quota.quantity,
                "used": quota.used,
            },
        )


class ReservationConflictError(ConflictError):
    """The streaming session's id was used for another request."""

    code = "session_conflict"

    def __init__(self) -> None:
        super().__init__("This streaming session was initialized by another request.")


class SessionSettledError(ConflictError):
    """The streaming session is over."""

    code = "session_settled"

    def __init__(self, status: ReservationStatus) -> None:
        super().__init__("This streaming session is over.", extra={"sessionStatus": status.value})


class AllocationRevokedError(ConflictError):
    """The allocation was revoked before, by another request."""

    code = "allocation_revoked"

    def __init__(self) -> None:
        super().__init__("This allocation is revoked already.")


class BalanceTooLargeError(InvalidFieldError):
    """A user would have more credits than a balance can hold."""

    def __init__(self) -> None:
        super().__init__("credits", f"a user's balance may be {LARGEST_BALANCE} at most")


class UnpricedModelError(InvalidFieldError):
    """A model has no rate."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "this model has no rate")


class AnswerLostError(UnavailableError):
    """The connection ended before the answer: it may have happened or not."""

    def __init__(self) -> None:
        super().__init__("the database")


class ContendedError(UnavailableError):
    """The database answers, but somebody else kept what was asked for for too long."""

    def __init__(self) -> None:
        super().__init__("the database", retry_after=1)


class SchemaError(AulaError):
    """The database's schema is not the one that this program works on."""

    code = "schema_mismatch"
    status = 503
    title = "Schema mismatch"

    def __init__(self, *, found: str | None, expected: str) -> None:
        super().__init__(
            f"The database's schema is at {found or 'nothing'}, this program needs {expected}: "
            "run `accounting migrate` of this version."
        )
