"""Telling what was used, and charging what is used outside streams."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from aula_accounting.domain.idempotency import IdempotencyKey, digest_of
from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.refusals import refusal_of
from aula_accounting.domain.streaming import (
    Reservation,
    ReservationStatus,
    ReserveRequest,
    SettlementKind,
    SettleRequest,
)
from aula_accounting.domain.usage import (
    TrackedUsage,
    UsageFilter,
    UsageGroup,
    UsageGrouping,
    UsageReceipt,
)
from aula_common.clock import Clock
from aula_common.ids import new_id


class UsageService:
    """Usage of settled streams, and of what is no stream."""

    def __init__(self, *, start_work: StartWork, clock: Clock, running_limit: int) -> None:
        self._start_work = start_work
        self._clock = clock
        self._running_limit = running_limit

    async def track(self, usage: TrackedUsage, *, service_id: str, key: str) -> UsageReceipt:
        """Charge usage that is no stream: reserved and settled in one transaction.

        The same caller's key with the same usage gives the first receipt again;
        IdempotencyKeyReusedError with other usage. InsufficientCreditsError, CreditsHeldError,
        QuotaExceededError, UnpricedModelError: then nothing was charged, and the key is free.
        """
        now = self._clock.now()
        claim = IdempotencyKey(
            caller_id=service_id, key=key, digest=digest_of("track", asdict(usage))
        )
        async with self._start_work() as work:
            stored = await work.idempotency.claim(claim, at=now)
            if stored is not None:
                return _from_answer(stored)
            request = _reserve_request(usage, service_id=service_id, digest=claim.digest)
            [reserved] = await work.streaming.reserve(
                [request], at=now, lease=timedelta(), running_limit=self._running_limit
            )
            if reserved.reservation is None:
                raise refusal_of(request, reserved, running_limit=self._running_limit)
            [settled] = await work.streaming.settle([_settle_request(request)], at=now)
            assert settled.reservation is not None  # noqa: S101 - reserved just now
            receipt = _receipt(settled.reservation, at=now)
            await work.idempotency.store(claim, _to_answer(receipt))
            await work.commit()
        return receipt

    async def list_usage(
        self, which: UsageFilter, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]:
        """A page of settled streams, the newest first, and how many there are."""
        async with self._start_work() as work:
            return await work.usage.list_settled(which, offset=offset, limit=limit)

    async def summarize(
        self, which: UsageFilter, *, by: UsageGrouping, offset: int, limit: int
    ) -> tuple[Sequence[UsageGroup], int]:
        """A page of usage summed up by day, model, service or user, and how many groups."""
        async with self._start_work() as work:
            return await work.usage.summarize(which, by=by, offset=offset, limit=limit)


def _reserve_request(usage: TrackedUsage, *, service_id: str, digest: str) -> ReserveRequest:
    return ReserveRequest(
        session_id=new_id("use"),
        user_id=usage.user_id,
        service_id=service_id,
        chat_session_id=usage.chat_session_id,
        team_id=usage.team_id,
        model_ids=(usage.model_id,),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        unsplit_tokens=usage.unsplit_tokens,
        max_output_tokens=usage.output_tokens,
        digest=digest,
        tier=usage.tier,
        messages=0,
        compute_seconds=usage.compute_seconds,
        at_once=True,
    )


def _settle_request(request: ReserveRequest) -> SettleRequest:
    return SettleRequest(
        kind=SettlementKind.FINALIZE,
        session_id=request.session_id,
        user_id=request.user_id,
        actor_id=request.service_id,
        status=ReservationStatus.COMPLETED,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        unsplit_tokens=request.unsplit_tokens,
    )


def _receipt(reservation: Reservation, *, at: datetime) -> UsageReceipt:
    assert reservation.settlement is not None  # noqa: S101 - settled just now
    return UsageReceipt(
        session_id=reservation.session_id,
        user_id=reservation.user_id,
        model_id=reservation.model_id or "",
        credits=reservation.settlement.charged,
        at=at,
    )


def _to_answer(receipt: UsageReceipt) -> dict[str, Any]:
    return {**asdict(receipt), "at": receipt.at.isoformat()}


def _from_answer(answer: Mapping[str, Any]) -> UsageReceipt:
    return UsageReceipt(**{**answer, "at": datetime.fromisoformat(answer["at"])})
