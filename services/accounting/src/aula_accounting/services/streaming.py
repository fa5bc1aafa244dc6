"""Reserving before a stream, settling once after it."""

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import Counter

from aula_accounting.domain.errors import SessionSettledError
from aula_accounting.domain.ledger import LedgerEntry
from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.refusals import refusal_of
from aula_accounting.domain.streaming import (
    ProgressOutcome,
    ProgressReport,
    Reservation,
    ReservationStatus,
    ReserveOutcome,
    ReserveRequest,
    ReserveVerdict,
    SettlementKind,
    SettleOutcome,
    SettleRequest,
    SettleVerdict,
    StreamingOperation,
    StreamingOutcome,
)
from aula_common.errors import InvalidFieldError, NotFoundError
from aula_common.logging import get_logger

_log = get_logger(__name__)


class Commits(Protocol):
    """Runs operations and answers after their commit."""

    async def submit(self, operation: StreamingOperation) -> StreamingOutcome: ...


class StreamingService:
    """The reservations of streaming sessions. Every call may be repeated without harm."""

    def __init__(
        self,
        *,
        start_work: StartWork,
        commits: Commits,
        running_limit: int,
        reserves: Counter,
        settlements: Counter,
        overruns: Counter,
    ) -> None:
        self._start_work = start_work
        self._commits = commits
        self._running_limit = running_limit
        self._reserves = {verdict: reserves.labels(verdict) for verdict in ReserveVerdict}
        self._settlements = {
            (kind, verdict): settlements.labels(kind, verdict)
            for kind in (SettlementKind.FINALIZE, SettlementKind.ABORT)
            for verdict in SettleVerdict
        }
        self._overruns = overruns

    async def initialize(self, request: ReserveRequest) -> Reservation:
        """Hold the dearest model's estimate and a fifth; the same request gives the same answer.

        InsufficientCreditsError, CreditsHeldError, TooManyStreamsError, UnpricedModelError,
        QuotaExceededError, ReservationConflictError (the id was used for another request),
        SessionSettledError.
        """
        outcome = await self._commits.submit(request)
        assert isinstance(outcome, ReserveOutcome)  # noqa: S101 - of its own kind
        self._reserves[outcome.verdict].inc()
        if outcome.verdict is ReserveVerdict.RESERVED and outcome.reservation is not None:
            return outcome.reservation
        raise refusal_of(request, outcome, running_limit=self._running_limit)

    async def report_progress(self, report: ProgressReport) -> Reservation:
        """Note how far a stream has come, for the sweeper; a smaller number changes nothing.

        NotFoundError, SessionSettledError.
        """
        outcome = await self._commits.submit(report)
        assert isinstance(outcome, ProgressOutcome)  # noqa: S101 - of its own kind
        reservation = outcome.reservation
        if reservation is None:
            raise NotFoundError
        if reservation.status is not ReservationStatus.ACTIVE:
            raise SessionSettledError(reservation.status)
        return reservation

    async def settle(self, request: SettleRequest) -> Reservation:
        """End a reservation; one that has ended is returned as it ended, whatever the request.

        An abort of an unknown id leaves a tombstone that refuses a late initialize.
        NotFoundError for another unknown id, and for an id of another user; InvalidFieldError
        for a model that the reservation did not name.
        """
        outcome = await self._commits.submit(request)
        assert isinstance(outcome, SettleOutcome)  # noqa: S101 - of its own kind
        self._settlements[request.kind, outcome.verdict].inc()
        if outcome.verdict is SettleVerdict.UNPRICED:
            raise InvalidFieldError("modelId", "is not a model of this reservation")
        if outcome.verdict is SettleVerdict.UNKNOWN or outcome.reservation is None:
            raise NotFoundError
        if outcome.verdict is SettleVerdict.SETTLED:
            self._note_overrun(outcome.reservation)
        return outcome.reservation

    def _note_overrun(self, reservation: Reservation) -> None:
        settlement = reservation.settlement
        if settlement is not None and settlement.overrun:
            self._overruns.inc(settlement.overrun)
            _log.warning(
                "usage went beyond the hold",
                session_id=reservation.session_id,
                reserved=reservation.reserved,
                overrun=settlement.overrun,
            )

    async def get_session(
        self, session_id: str, *, user_id: str | None
    ) -> tuple[Reservation, Sequence[LedgerEntry]]:
        """A session and its ledger entries; NotFoundError if it is not that user's (None: any)."""
        async with self._start_work() as work:
            reservation = await work.streaming.find(session_id)
            if reservation is None or user_id not in (None, reservation.user_id):
                raise NotFoundError
            entries = await work.ledger.list_of_session(reservation.user_id, session_id)
        return reservation, entries

    async def list_active(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]:
        """A page of running streams, of a user or of all, and how many there are."""
        async with self._start_work() as work:
            return await work.streaming.list_active(user_id, offset=offset, limit=limit)
