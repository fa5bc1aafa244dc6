"""What models cost, from when on."""

from collections.abc import Sequence
from dataclasses import replace

from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.rates import Rate
from aula_common.clock import Clock
from aula_common.errors import InvalidFieldError


class RateService:
    """The catalogue of rates. What has begun is history and never changes."""

    def __init__(self, *, start_work: StartWork, clock: Clock) -> None:
        self._start_work = start_work
        self._clock = clock

    async def list_current(self, *, model_id: str | None = None) -> Sequence[Rate]:
        """The rate of each model, or of one, as it is now."""
        async with self._start_work() as work:
            return await work.rates.current(at=self._clock.now(), model_id=model_id)

    async def list_history(self, *, model_id: str | None = None) -> Sequence[Rate]:
        """Every rate that was, is and is to come."""
        async with self._start_work() as work:
            return await work.rates.history(model_id=model_id)

    async def put(self, rates: Sequence[tuple[Rate, bool]], *, actor_id: str) -> Sequence[Rate]:
        """Add rates, all or none; with True beside it a rate starts now.

        Running reservations keep theirs. One that is still to come is replaced by another with
        the same start. InvalidFieldError for a start in the past or a model named twice for one
        start.
        """
        now = self._clock.now()
        new = [replace(rate, starts_at=now) if at_once else rate for rate, at_once in rates]
        if any(rate.starts_at < now for rate in new):
            raise InvalidFieldError("rates.startsAt", "must not be in the past")
        if len({(rate.model_id, rate.starts_at) for rate in new}) < len(new):
            raise InvalidFieldError("rates.modelId", "stands twice with the same start")
        async with self._start_work() as work:
            await work.rates.put(new, actor_id=actor_id, at=now)
            await work.commit()
        return new
