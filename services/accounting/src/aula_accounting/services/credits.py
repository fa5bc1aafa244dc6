"""Giving credits, taking them back, telling what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from aula_accounting.domain.credits import Allocation, Balance, CreditCheck, Grant
from aula_accounting.domain.errors import (
    AllocationRevokedError,
    BalanceTooLargeError,
    UnpricedModelError,
)
from aula_accounting.domain.idempotency import IdempotencyKey, digest_of
from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.rates import Tokens, hold_for, price
from aula_common.clock import Clock
from aula_common.errors import InvalidFieldError, NotFoundError


class CreditService:
    """Allocations and balances."""

    def __init__(self, *, start_work: StartWork, clock: Clock) -> None:
        self._start_work = start_work
        self._clock = clock

    async def get_balance(self, user_id: str) -> Balance:
        """What the user has now."""
        async with self._start_work() as work:
            return await work.credits.balance(user_id, at=self._clock.now())

    async def check_credits(self, user_id: str, required: int) -> CreditCheck:
        """Whether the user could spend so many credits now."""
        async with self._start_work() as work:
            available = await work.credits.available(user_id, at=self._clock.now())
        return CreditCheck(required=required, available=available)

    async def check_model(self, user_id: str, model_id: str, tokens: int) -> CreditCheck:
        """Whether a stream of so many tokens could be reserved now; UnpricedModelError."""
        now = self._clock.now()
        async with self._start_work() as work:
            rates = await work.rates.current(at=now, model_id=model_id)
            if not rates:
                raise UnpricedModelError("modelId")
            available = await work.credits.available(user_id, at=now)
        required = hold_for(price(Tokens(unsplit=tokens), rates[0]))
        return CreditCheck(required=required, available=available)

    async def allocate(self, grant: Grant, *, actor_id: str, key: str) -> Sequence[Allocation]:
        """Give every user of the grant the credits, or none of them.

        The same caller's key with the same grant gives the first answer again;
        IdempotencyKeyReusedError with another grant. InvalidFieldError for an expiry that is
        not in the future; BalanceTooLargeError.
        """
        now = self._clock.now()
        claim = IdempotencyKey(
            caller_id=actor_id, key=key, digest=digest_of("allocate", asdict(grant))
        )
        async with self._start_work() as work:
            stored = await work.idempotency.claim(claim, at=now)
            if stored is not None:
                return [_from_answer(entry) for entry in stored["allocations"]]
            if grant.expires_at is not None and grant.expires_at <= now:
                raise InvalidFieldError("expiresAt", "must be in the future")
            allocations = await work.credits.allocate(grant, actor_id=actor_id, at=now)
            if allocations is None:
                raise BalanceTooLargeError
            answer = {"allocations": [_to_answer(allocation) for allocation in allocations]}
            await work.idempotency.store(claim, answer)
            await work.commit()
        return allocations

    async def revoke(self, allocation_id: str, *, actor_id: str, key: str) -> Allocation:
        """Take back what is left of an allocation; what streams hold of it stays until they end.

        Idempotent by the caller's key, as allocate is. NotFoundError; AllocationRevokedError if
        another request has revoked it before.
        """
        now = self._clock.now()
        claim = IdempotencyKey(
            caller_id=actor_id,
            key=key,
            digest=digest_of("revoke", {"allocation_id": allocation_id}),
        )
        async with self._start_work() as work:
            stored = await work.idempotency.claim(claim, at=now)
            if stored is not None:
                return _from_answer(stored["allocation"])
            allocation = await work.credits.find_allocation(allocation_id)
            if allocation is None:
                raise NotFoundError
            revoked = await work.credits.revoke(allocation, actor_id=actor_id, at=now)
            if revoked is None:
                raise AllocationRevokedError
            await work.idempotency.store(claim, {"allocation": _to_answer(revoked)})
            await work.commit()
        return revoked

    async def list_allocations(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Allocation], int]:
        """A page of a user's allocations, or of everybody's, and how many there are."""
        async with self._start_work() as work:
            return await work.credits.list_allocations(user_id, offset=offset, limit=limit)


_MOMENTS = ("expires_at", "revoked_at", "created_at")


def _to_answer(allocation: Allocation) -> dict[str, Any]:
    answer = asdict(allocation)
    for name in _MOMENTS:
        if answer[name] is not None:
            answer[name] = answer[name].isoformat()
    return answer


def _from_answer(answer: Mapping[str, Any]) -> Allocation:
    from_text = {
        name: datetime.fromisoformat(answer[name]) if answer[name] else None for name in _MOMENTS
    }
    return Allocation(**{**answer, **from_text})
