"""Setting quotas, telling how far they are used, consuming them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from aula_accounting.domain.errors import QuotaExceededError
from aula_accounting.domain.idempotency import IdempotencyKey, digest_of
from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.quotas import (
    Quota,
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaStanding,
)
from aula_common.clock import Clock
from aula_common.errors import InvalidFieldError


class QuotaService:
    """Quotas by day and month. Streams consume theirs themselves when they are initialized."""

    def __init__(self, *, start_work: StartWork, clock: Clock) -> None:
        self._start_work = start_work
        self._clock = clock

    async def list_quotas(
        self, holder: QuotaHolder | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Quota], int]:
        """A page of the quotas that apply to somebody, or of all, and how many there are."""
        async with self._start_work() as work:
            return await work.quotas.list_quotas(holder, offset=offset, limit=limit)

    async def get_standing(self, holder: QuotaHolder) -> Sequence[QuotaStanding]:
        """How far the tightest quota of each metric and period is used."""
        async with self._start_work() as work:
            return await work.quotas.standing(holder, at=self._clock.now())

    async def put(
        self, quantities: Sequence[tuple[QuotaKey, int | None]], *, actor_id: str
    ) -> Sequence[Quota]:
        """Set quotas, all or none; None beside a key removes its quota. Returns what was set.

        A quota counts from when the first one that applies to somebody was set.
        InvalidFieldError for a key that stands twice.
        """
        if len({key for key, _ in quantities}) < len(quantities):
            raise InvalidFieldError("quotas", "must not name one quota twice")
        new = [
            Quota(key=key, quantity=quantity)
            for key, quantity in quantities
            if quantity is not None
        ]
        async with self._start_work() as work:
            if new:
                await work.quotas.put(new, actor_id=actor_id, at=self._clock.now())
            if removed := [key for key, quantity in quantities if quantity is None]:
                await work.quotas.remove(removed)
            await work.commit()
        return new

    async def consume(
        self,
        holder: QuotaHolder,
        amounts: Mapping[QuotaMetric, int],
        *,
        caller_id: str,
        key: str,
    ) -> Sequence[QuotaStanding]:
        """Count the amounts, all or none, and tell how the quotas stand afterwards.

        The same caller's key with the same amounts counts once. QuotaExceededError, and then
        nothing was counted; IdempotencyKeyReusedError.
        """
        now = self._clock.now()
        content = {"holder": asdict(holder), "amounts": dict(amounts)}
        claim = IdempotencyKey(
            caller_id=caller_id, key=key, digest=digest_of("consume quota", content)
        )
        async with self._start_work() as work:
            if await work.idempotency.claim(claim, at=now) is None:
                if exceeded := await work.quotas.consume(holder, amounts, at=now):
                    raise QuotaExceededError(exceeded)
                await work.idempotency.store(claim, {"consumed": True})
            standing = await work.quotas.standing(holder, at=now)
            await work.commit()
        return standing
