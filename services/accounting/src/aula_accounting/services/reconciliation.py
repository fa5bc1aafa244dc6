"""Proving that balances equal the ledger."""

from datetime import timedelta

from aula_accounting.domain.ports import StartWork
from aula_accounting.domain.reconciliation import Reconciliation
from aula_common.clock import Clock


class ReconciliationService:
    """Compares the stored balances with the replayed ledger."""

    def __init__(self, *, start_work: StartWork, clock: Clock, slack: timedelta) -> None:
        self._start_work = start_work
        self._clock = clock
        self._slack = slack

    async def reconcile(self) -> Reconciliation:
        """What differs, if anything; a hold that outlived its lease by the slack counts too."""
        now = self._clock.now()
        async with self._start_work() as work:
            return await work.reconciliation.reconcile(at=now, overdue_before=now - self._slack)
