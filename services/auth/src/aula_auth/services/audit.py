"""The audit: what happened to people's access, and who did it."""

from collections.abc import Mapping

from aula_auth.domain.audit import AuditEvent, AuditKind, AuditSearch
from aula_auth.domain.moment import moment
from aula_auth.domain.page import Slice
from aula_auth.domain.ports import AuditStore
from aula_common.clock import Clock
from aula_common.ids import new_id


class Audit:
    """Records and finds entries."""

    def __init__(self, events: AuditStore, *, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    async def record(
        self,
        kind: AuditKind,
        *,
        user_id: str | None = None,
        actor_id: str | None = None,
        address: str | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Append an entry."""
        await self._events.add(
            AuditEvent(
                id=new_id("aud"),
                at=moment(self._clock),
                kind=kind,
                actor_id=actor_id,
                user_id=user_id,
                address=address,
                details=details or {},
            )
        )

    async def search(self, search: AuditSearch, *, offset: int, limit: int) -> Slice[AuditEvent]:
        """The entries that match, newest first."""
        return await self._events.search(search, offset=offset, limit=limit)
