"""A supervisor's students, and what runs there now."""

import asyncio
from collections.abc import Sequence

from aula_common.clock import Clock
from aula_common.security.principal import Principal
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.ports import People, Relationships, StreamDirectory
from aula_monitoring.domain.relationship import Mode, Relationship, RelationshipSearch, Status
from aula_monitoring.domain.student import RunningStream, Student
from aula_monitoring.services.permissions import PermissionService

_QUESTIONS_AT_ONCE = 8


class StudentService:
    """Students as their supervisor sees them."""

    def __init__(
        self,
        *,
        relationships: Relationships,
        permissions: PermissionService,
        people: People,
        streams: StreamDirectory,
        clock: Clock,
    ) -> None:
        self._relationships = relationships
        self._permissions = permissions
        self._people = people
        self._streams = streams
        self._clock = clock

    async def list_students(
        self, supervisor: Principal, *, offset: int, limit: int
    ) -> Slice[Student]:
        """The supervisor's students by their active relationships, newest first."""
        search = RelationshipSearch(
            at=self._clock.now(), supervisor_id=supervisor.id, status=Status.ACTIVE, valid=True
        )
        page = await self._relationships.search(search, offset=offset, limit=limit)
        people = await self._people.find_many({one.student_id for one in page.items})
        asking = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def running(relationship: Relationship) -> Sequence[RunningStream] | None:
            if relationship.mode is Mode.OFF:
                return None
            async with asking:
                return await self._streams.list_running(
                    relationship.student_id, observer_id=supervisor.id
                )

        streams = await asyncio.gather(*(running(one) for one in page.items))
        students = [
            Student(relationship=one, person=people.get(one.student_id), streams=now)
            for one, now in zip(page.items, streams, strict=True)
        ]
        return Slice(students, page.total)

    async def list_streams(self, observer: Principal, student_id: str) -> Sequence[RunningStream]:
        """The student's running streams. NotFoundError without the observer's leave."""
        await self._permissions.for_student(observer, student_id)
        return await self._streams.list_running(student_id, observer_id=observer.id)
