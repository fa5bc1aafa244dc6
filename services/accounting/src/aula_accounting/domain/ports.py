"""What the decisions need of the storage, in the words of the domain."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from aula_accounting.domain.credits import Allocation, Balance, Grant
from aula_accounting.domain.idempotency import IdempotencyKey
from aula_accounting.domain.ledger import LedgerEntry
from aula_accounting.domain.news import News, PendingNews
from aula_accounting.domain.quotas import (
    Quota,
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaStanding,
)
from aula_accounting.domain.rates import Rate
from aula_accounting.domain.reconciliation import Reconciliation
from aula_accounting.domain.streaming import (
    Reservation,
    ReserveOutcome,
    ReserveRequest,
    SettleOutcome,
    SettleRequest,
    StreamingOperation,
    StreamingOutcome,
)
from aula_accounting.domain.usage import UsageFilter, UsageGroup, UsageGrouping


class CreditRepository(Protocol):
    """Accounts and allocations."""

    async def balance(self, user_id: str, *, at: datetime) -> Balance: ...
    async def available(self, user_id: str, *, at: datetime) -> int: ...
    async def allocate(
        self, grant: Grant, *, actor_id: str, at: datetime
    ) -> Sequence[Allocation] | None:
        """The allocations in the order of the users; None if a balance would be too large."""
        ...

    async def find_allocation(self, allocation_id: str) -> Allocation | None: ...
    async def revoke(
        self, allocation: Allocation, *, actor_id: str, at: datetime
    ) -> Allocation | None:
        """The allocation afterwards; None if it was revoked before."""
        ...

    async def list_allocations(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Allocation], int]: ...
    async def expire(self, *, at: datetime, limit: int, actor_id: str) -> int:
        """Write off what is left in expired allocations; how many there were."""
        ...


class StreamingRepository(Protocol):
    """Reservations; `reserve` and `settle` are one round trip for the whole list."""

    async def reserve(
        self,
        requests: Sequence[ReserveRequest],
        *,
        at: datetime,
        lease: timedelta,
        running_limit: int,
    ) -> Sequence[ReserveOutcome]: ...
    async def settle(
        self, requests: Sequence[SettleRequest], *, at: datetime
    ) -> Sequence[SettleOutcome]: ...
    async def find(self, session_id: str) -> Reservation | None: ...
    async def list_active(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]: ...
    async def claim_overdue(self, *, at: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Lock the accounts of overdue reservations, but those locked by others.

        Returns (user id, session id) pairs.
        """
        ...


class StreamingBatches(Protocol):
    """The hot path: a list of operations of all kinds and users, in a transaction of its own."""

    async def apply(
        self,
        operations: Sequence[StreamingOperation],
        *,
        at: datetime,
        lease: timedelta,
        running_limit: int,
        patient: bool,
    ) -> Sequence[StreamingOutcome | None]:
        """What became of each, committed; None for one that waits for another's transaction.

        If `patient`, it waits here, and none is None. UnavailableError: nothing happened, or it
        took too long; AnswerLostError: it may have happened; ContendedError: somebody else held
        what was needed, nothing happened.
        """
        ...


class LedgerRepository(Protocol):
    """The ledger, read only: writing it is part of each movement."""

    async def list_of_user(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[LedgerEntry], int]: ...
    async def list_of_session(self, user_id: str, session_id: str) -> Sequence[LedgerEntry]: ...


class RateRepository(Protocol):
    """Rates with their start times."""

    async def current(self, *, at: datetime, model_id: str | None = None) -> Sequence[Rate]: ...
    async def history(self, *, model_id: str | None = None) -> Sequence[Rate]: ...
    async def put(self, rates: Sequence[Rate], *, actor_id: str, at: datetime) -> None: ...


class UsageRepository(Protocol):
    """Settled reservations."""

    async def list_settled(
        self, which: UsageFilter, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]: ...
    async def summarize(
        self, which: UsageFilter, *, by: UsageGrouping, offset: int, limit: int
    ) -> tuple[Sequence[UsageGroup], int]: ...


class QuotaRepository(Protocol):
    """Quotas, and what was used of them."""

    async def list_quotas(
        self, holder: QuotaHolder | None, *, offset: int, limit: int
    ) -> tuple[Sequence[Quota], int]:
        """The quotas that apply to somebody, or all."""
        ...

    async def put(self, new: Sequence[Quota], *, actor_id: str, at: datetime) -> None: ...
    async def remove(self, keys: Sequence[QuotaKey]) -> None: ...
    async def standing(self, holder: QuotaHolder, *, at: datetime) -> Sequence[QuotaStanding]: ...
    async def consume(
        self, holder: QuotaHolder, amounts: Mapping[QuotaMetric, int], *, at: datetime
    ) -> QuotaStanding | None:
        """Count the amounts, all or none; the quota that leaves no room, if one does."""
        ...


class IdempotencyRepository(Protocol):
    """Keys of requests that were answered."""

    async def claim(self, key: IdempotencyKey, *, at: datetime) -> Mapping[str, Any] | None:
        """Take the key, or return the answer stored under it.

        IdempotencyKeyReusedError if it was used with another request.
        """
        ...

    async def store(self, key: IdempotencyKey, answer: Mapping[str, Any]) -> None: ...
    async def forget_before(self, moment: datetime) -> int: ...


class OutboxRepository(Protocol):
    """News that waits for its publication."""

    async def add(self, news: Sequence[News]) -> None: ...
    async def claim(self, *, limit: int) -> Sequence[PendingNews]:
        """The oldest news, for this transaction alone; none while another publishes."""
        ...

    async def remove(self, ids: Sequence[int]) -> None: ...
    async def forget_before(self, moment: datetime) -> int: ...


class NewsStream(Protocol):
    """Where news is published."""

    async def publish(self, pending: Sequence[PendingNews]) -> None:
        """Append all or none, in this order. UnavailableError."""
        ...


class ReconciliationRepository(Protocol):
    """Compares everything with everything."""

    async def reconcile(self, *, at: datetime, overdue_before: datetime) -> Reconciliation: ...


class UnitOfWork(Protocol):
    """One transaction. What was not committed when it ends has not happened.

    Everything raises UnavailableError when the database is away, overloaded or too slow.
    """

    @property
    def credits(self) -> CreditRepository: ...
    @property
    def streaming(self) -> StreamingRepository: ...
    @property
    def ledger(self) -> LedgerRepository: ...
    @property
    def rates(self) -> RateRepository: ...
    @property
    def usage(self) -> UsageRepository: ...
    @property
    def quotas(self) -> QuotaRepository: ...
    @property
    def outbox(self) -> OutboxRepository: ...
    @property
    def idempotency(self) -> IdempotencyRepository: ...
    @property
    def reconciliation(self) -> ReconciliationRepository: ...

    async def commit(self) -> None: ...


StartWork = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
