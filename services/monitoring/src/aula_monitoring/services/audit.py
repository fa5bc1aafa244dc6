"""Writing down who looks, before they see anything."""

import asyncio
from datetime import datetime

from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.ids import new_id
from aula_common.logging import get_logger
from aula_common.security.principal import Principal, Role
from aula_monitoring.domain.audit import AuditEntry, AuditKind, AuditSearch
from aula_monitoring.domain.observation import EndReason, Observation
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.permission import Permission
from aula_monitoring.domain.ports import AuditLog
from aula_monitoring.domain.relationship import Mode

_log = get_logger(__name__)
_RETRY_SECONDS = 1.0


class AuditService:
    """The audit. Without an entry nothing is shown, so its errors are the caller's to pass on."""

    def __init__(self, *, log: AuditLog, clock: Clock) -> None:
        self._entries = log
        self._clock = clock
        self._ends: dict[str, tuple[datetime, EndReason]] = {}
        self._ends_waiting = asyncio.Event()

    async def record_observation(self, observation: Observation) -> None:
        """Write down that it begins. UnavailableError if that can't be stored."""
        await self._entries.add(
            AuditEntry(
                id=observation.id,
                at=self._clock.now(),
                observer_id=observation.observer.id,
                observer_role=observation.observer.role,
                kind=AuditKind.OBSERVE,
                student_id=observation.permission.student_id,
                session_id=observation.session_id,
                mode=Mode.SUMMARY if observation.summary else Mode.LIVE,
            )
        )

    async def record_read(
        self, observer: Principal, permission: Permission, *, session_id: str | None = None
    ) -> None:
        """Write down that past conversations are read. UnavailableError if it can't be stored."""
        await self._entries.add(
            AuditEntry(
                id=new_id("aud"),
                at=self._clock.now(),
                observer_id=observer.id,
                observer_role=observer.role,
                kind=AuditKind.READ,
                student_id=permission.student_id,
                session_id=session_id,
                mode=permission.mode,
            )
        )

    async def record_search(self, observer: Principal) -> None:
        """Write down that people are searched for. UnavailableError if it can't be stored."""
        await self._entries.add(
            AuditEntry(
                id=new_id("aud"),
                at=self._clock.now(),
                observer_id=observer.id,
                observer_role=observer.role,
                kind=AuditKind.SEARCH,
            )
        )

    async def search(
        self, reader: Principal, search: AuditSearch, *, offset: int, limit: int
    ) -> Slice[AuditEntry]:
        """The entries that match: all for an administrator, for others who looked at them."""
        if reader.role is not Role.ADMIN:
            if search.student_id not in {None, reader.id}:
                return Slice([], 0)
            search = AuditSearch(
                observer_id=search.observer_id,
                student_id=reader.id,
                session_id=search.session_id,
                kind=search.kind,
            )
        return await self._entries.search(search, offset=offset, limit=limit)

    def observation_ended(self, observation_id: str, reason: EndReason) -> None:
        """Have the end stored, by `write_ends`, as soon as the database takes it."""
        self._ends[observation_id] = (self._clock.now(), reason)
        self._ends_waiting.set()

    async def write_ends(self) -> None:
        """Store the ends as they come; runs for ever, in a task of its own."""
        while True:
            await self._ends_waiting.wait()
            if not await self.flush_ends():
                await self._clock.sleep(_RETRY_SECONDS)

    async def flush_ends(self) -> bool:
        """Store the ends that wait; False if the database did not take all."""
        self._ends_waiting.clear()
        for observation_id, (at, reason) in list(self._ends.items()):
            try:
                await self._entries.end(observation_id, at=at, reason=reason)
            except UnavailableError:
                _log.warning("ends of observations wait", waiting=len(self._ends))
                self._ends_waiting.set()
                return False
            self._ends.pop(observation_id, None)
        return True
