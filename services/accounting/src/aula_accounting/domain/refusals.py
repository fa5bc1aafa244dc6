"""What a reserve that was refused is answered with."""

from aula_accounting.domain.errors import (
    CreditsHeldError,
    InsufficientCreditsError,
    QuotaExceededError,
    ReservationConflictError,
    SessionSettledError,
    TooManyStreamsError,
    UnpricedModelError,
)
from aula_accounting.domain.streaming import ReserveOutcome, ReserveRequest, ReserveVerdict
from aula_common.errors import AulaError


def refusal_of(
    request: ReserveRequest, outcome: ReserveOutcome, *, running_limit: int
) -> AulaError:
    """The error for a reserve that ended in anything but a reservation."""
    if outcome.shortage is not None:
        held = outcome.verdict is ReserveVerdict.HELD
        return (CreditsHeldError if held else InsufficientCreditsError)(outcome.shortage)
    if outcome.quota is not None:
        return QuotaExceededError(outcome.quota)
    if outcome.verdict is ReserveVerdict.SETTLED and outcome.reservation is not None:
        return SessionSettledError(outcome.reservation.status)
    if outcome.verdict is ReserveVerdict.TOO_MANY:
        return TooManyStreamsError(running_limit)
    if outcome.verdict is ReserveVerdict.UNPRICED:
        asked = outcome.unpriced_model_id == request.model_ids[0]
        return UnpricedModelError("modelId" if asked else "fallbackModelIds")
    return ReservationConflictError()
