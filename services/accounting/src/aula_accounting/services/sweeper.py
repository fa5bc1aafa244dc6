"""Ends what nobody else will end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Counter

from aula_accounting.domain.idempotency import KEPT_FOR
from aula_accounting.domain.news import KEPT_FOR as NEWS_KEPT_FOR
from aula_accounting.domain.news import News, NewsType
from aula_accounting.domain.ports import StartWork, UnitOfWork
from aula_accounting.domain.streaming import (
    ReservationStatus,
    SettlementKind,
    SettleOutcome,
    SettleRequest,
    SettleVerdict,
)
from aula_common.clock import Clock
from aula_common.errors import AulaError
from aula_common.logging import get_logger

_log = get_logger(__name__)

ACTOR = "sweeper"
_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What one sweep has ended."""

    reservations: int
    allocations: int
    keys: int
    news: int


class Sweeper:
    """Settles overdue reservations, writes off expired allocations, drops old keys and news.

    Safe beside any number of sweepers and late finalizers: what another has locked is left to
    him, and what is found twice is settled once.
    """

    def __init__(self, *, start_work: StartWork, clock: Clock, swept: Counter) -> None:
        self._start_work = start_work
        self._clock = clock
        self._swept = swept

    async def sweep(self) -> SweepResult:
        """One sweep over everything that is due now."""
        result = SweepResult(
            reservations=await self._settle_overdue(),
            allocations=await self._expire_allocations(),
            keys=await self._forget_keys(),
            news=await self._forget_news(),
        )
        if result.news:
            _log.error("news was too old to be told", news=result.news)
        if result.reservations or result.allocations:
            _log.info("swept", reservations=result.reservations, allocations=result.allocations)
        return result

    async def _settle_overdue(self) -> int:
        settled = 0
        while True:
            claimed, ended = await self._settle_batch(limit=_BATCH)
            settled += ended
            if claimed < _BATCH or not ended:
                return settled

    async def _settle_batch(self, *, limit: int) -> tuple[int, int]:
        """How many were claimed and how many of them settled, in one transaction."""
        async with self._start_work() as work:
            claimed = await work.streaming.claim_overdue(at=self._clock.now(), limit=limit)
            if not claimed:
                return 0, 0
            try:
                ended = await self._settle(work, claimed)
                await work.commit()
            except AulaError:
                raise
            except Exception:  # noqa: BLE001 - whatever it was, the neighbours go on
                _log.exception("a batch could not be swept; its members are tried singly")
                ended = -1
        if ended < 0:
            ended = sum([await self._settle_singly(member) for member in claimed])
        self._swept.inc(ended)
        return len(claimed), ended

    async def _settle_singly(self, member: tuple[str, str]) -> int:
        """One member in a transaction of its own, so that it can't fail its neighbours."""
        try:
            async with self._start_work() as work:
                ended = await self._settle(work, [member])
                await work.commit()
        except AulaError:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the neighbours go on
            _log.exception("a reservation could not be swept", session_id=member[1])
            return 0
        return ended

    async def _settle(self, work: UnitOfWork, members: Sequence[tuple[str, str]]) -> int:
        """Settle those that still run, with news of each; how many did."""
        now = self._clock.now()
        outcomes = await work.streaming.settle(_requests(members), at=now)
        news = [_news(outcome) for outcome in outcomes if outcome.verdict is SettleVerdict.SETTLED]
        if news:
            await work.outbox.add(news)
        return len(news)

    async def _expire_allocations(self) -> int:
        expired = 0
        while True:
            async with self._start_work() as work:
                count = await work.credits.expire(
                    at=self._clock.now(), limit=_BATCH, actor_id=ACTOR
                )
                await work.commit()
            expired += count
            if count < _BATCH:
                return expired

    async def _forget_keys(self) -> int:
        async with self._start_work() as work:
            count = await work.idempotency.forget_before(self._clock.now() - KEPT_FOR)
            await work.commit()
        return count

    async def _forget_news(self) -> int:
        async with self._start_work() as work:
            count = await work.outbox.forget_before(self._clock.now() - NEWS_KEPT_FOR)
            await work.commit()
        return count


def _news(outcome: SettleOutcome) -> News:
    swept = outcome.reservation
    assert swept is not None  # noqa: S101 - it was settled just now
    assert swept.settlement is not None  # noqa: S101 - likewise
    return News(
        type=NewsType.RESERVATION_SWEPT,
        at=swept.settlement.at,
        user_id=swept.user_id,
        team_id=None,
        data={
            "sessionId": swept.session_id,
            "chatSessionId": swept.chat_session_id,
            "charged": swept.settlement.charged,
            "refund": swept.settlement.refund,
        },
    )


def _requests(claimed: Sequence[tuple[str, str]]) -> list[SettleRequest]:
    return [
        SettleRequest(
            kind=SettlementKind.SWEEP,
            session_id=session_id,
            user_id=user_id,
            actor_id=ACTOR,
            status=ReservationStatus.EXPIRED,
            reason="lease expired",
        )
        for user_id, session_id in claimed
    ]


def sweep_slack(interval: float) -> timedelta:
    """How long after its lease's end a hold may still stand before it counts as leaked."""
    return timedelta(seconds=4 * interval + 60)
