"""Telling what was used."""

from collections.abc import Sequence

from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.streaming import Reservation
from aula_accounting.domain.usage import UsageFilter, UsageGroup, UsageGrouping


class UsageService:
    """Usage of settled streams."""

    def __init__(self, *, start_work: StartWork) -> None:
        self._start_work = start_work

    async def list_usage(
        self, which: UsageFilter, *, offset: int, limit: int
    ) -> tuple[Sequence[Reservation], int]:
        """A page of settled streams, the newest first, and how many there are."""
        async with self._start_work() as work:
            return await work.usage.list_settled(which, offset=offset, limit=limit)

    async def summarize(self, which: UsageFilter, *, by: UsageGrouping) -> Sequence[UsageGroup]:
        """Usage summed up by day, model, service or user."""
        async with self._start_work() as work:
            return await work.usage.summarize(which, by=by)
