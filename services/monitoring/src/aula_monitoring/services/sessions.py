"""Past conversations, for who may read them."""

import asyncio

from aula_common.clock import Clock
from aula_common.errors import NotFoundError
from aula_common.security.principal import Principal, Role
from aula_monitoring.domain.conversation import Document, summarise_list, summarise_session
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.person import Person
from aula_monitoring.domain.ports import Conversations, People, Relationships
from aula_monitoring.domain.relationship import Mode, RelationshipSearch, Status
from aula_monitoring.domain.student import FoundUser
from aula_monitoring.services.audit import AuditService
from aula_monitoring.services.permissions import PermissionService

_QUESTIONS_AT_ONCE = 8
_MOST_STUDENTS = 2000


class SessionService:
    """Reads chat's conversations for an observer; every look is in the audit beforehand."""

    def __init__(
        self,
        *,
        conversations: Conversations,
        permissions: PermissionService,
        relationships: Relationships,
        people: People,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._conversations = conversations
        self._permissions = permissions
        self._relationships = relationships
        self._people = people
        self._audit = audit
        self._clock = clock

    async def list_sessions(
        self, observer: Principal, student_id: str, *, page: int, limit: int
    ) -> Document:
        """A page of the student's conversations, without text where the mode is summary.

        NotFoundError without the observer's leave.
        """
        permission = await self._permissions.for_student(observer, student_id)
        await self._audit.record_read(observer, permission)
        found = await self._conversations.list_sessions(
            student_id, observer_id=observer.id, page=page, limit=limit
        )
        return found if permission.shows_text else summarise_list(found)

    async def get_session(self, observer: Principal, student_id: str, session_id: str) -> Document:
        """One conversation of the student, without text where the mode is summary.

        NotFoundError without the observer's leave, or if it is not the student's.
        """
        permission = await self._permissions.for_session(
            observer, session_id, student_id=student_id
        )
        await self._audit.record_read(observer, permission, session_id=session_id)
        found = await self._conversations.get_session(
            student_id, session_id, observer_id=observer.id
        )
        return found if permission.shows_text else summarise_session(found)

    async def search_users(
        self, observer: Principal, text: str, *, page: int, limit: int
    ) -> Slice[FoundUser]:
        """People whose names hold the text: a supervisor's own students, an admin's anybody."""
        await self._audit.record_search(observer)
        among = None if observer.role is Role.ADMIN else await self._student_ids(observer)
        found = await self._people.search(text, among=among, page=page, limit=limit)
        asking = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def counted(person: Person) -> FoundUser:
            async with asking:
                count = await self._count_sessions(person.id, observer_id=observer.id)
            return FoundUser(person=person, session_count=count)

        users = await asyncio.gather(*(counted(person) for person in found.items))
        return Slice(users, found.total)

    async def _student_ids(self, supervisor: Principal) -> list[str]:
        search = RelationshipSearch(
            at=self._clock.now(), supervisor_id=supervisor.id, status=Status.ACTIVE, valid=True
        )
        own = await self._relationships.search(search, offset=0, limit=_MOST_STUDENTS)
        return [one.student_id for one in own.items if one.mode is not Mode.OFF]

    async def _count_sessions(self, user_id: str, *, observer_id: str) -> int:
        try:
            sessions = await self._conversations.list_sessions(
                user_id, observer_id=observer_id, page=1, limit=1
            )
        except NotFoundError:
            return 0
        return int(sessions["pagination"]["total"])
