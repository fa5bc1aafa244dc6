"""Reading the ledger."""

from collections.abc import Sequence

from aula_accounting.domain.ledger import LedgerEntry
from aula_accounting.domain.ports import StartWork


class LedgerService:
    """The movements of credits."""

    def __init__(self, *, start_work: StartWork) -> None:
        self._start_work = start_work

    async def list_entries(
        self, user_id: str | None, *, offset: int, limit: int
    ) -> tuple[Sequence[LedgerEntry], int]:
        """A page of a user's entries, or of everybody's, newest first, and how many there are."""
        async with self._start_work() as work:
            return await work.ledger.list_of_user(user_id, offset=offset, limit=limit)
