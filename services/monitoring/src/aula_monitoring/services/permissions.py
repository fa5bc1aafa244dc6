"""Who may look at whose conversations."""

from aula_common.clock import Clock
from aula_common.errors import NotFoundError
from aula_common.security.principal import Principal, Role
from aula_monitoring.domain.permission import Permission
from aula_monitoring.domain.ports import Conversations, Relationships
from aula_monitoring.domain.relationship import Mode


class PermissionService:
    """Gives leave, or says that there is nothing: what may not be seen doesn't exist."""

    def __init__(
        self, *, relationships: Relationships, conversations: Conversations, clock: Clock
    ) -> None:
        self._relationships = relationships
        self._conversations = conversations
        self._clock = clock

    async def for_student(self, observer: Principal, student_id: str) -> Permission:
        """Leave to look at that person. NotFoundError without a relationship, or when it is off."""
        if observer.role is Role.ADMIN:
            return Permission(student_id=student_id, mode=Mode.LIVE)
        relationship = await self._relationships.find_active(
            supervisor_id=observer.id, student_id=student_id, at=self._clock.now()
        )
        if relationship is None or relationship.mode is Mode.OFF:
            raise NotFoundError
        return Permission(
            student_id=student_id, mode=relationship.mode, relationship_id=relationship.id
        )

    async def for_session(
        self, observer: Principal, session_id: str, *, student_id: str | None = None
    ) -> Permission:
        """Leave to look at that conversation, of that student if one is named.

        NotFoundError as above, or if the conversation is absent or another's. Chat is asked for
        the owner only, and where a student is named not before the relationship stands.
        """
        named = None if student_id is None else await self.for_student(observer, student_id)
        owner_id = await self._conversations.find_owner(session_id)
        if owner_id is None or student_id not in {None, owner_id}:
            raise NotFoundError
        return named or await self.for_student(observer, owner_id)
