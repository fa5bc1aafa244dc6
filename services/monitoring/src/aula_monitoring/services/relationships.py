"""Making, changing and ending relationships."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from aula_common.clock import Clock
from aula_common.errors import InvalidFieldError, NotFoundError
from aula_common.ids import new_id
from aula_common.security.principal import Principal, Role
from aula_monitoring.domain.errors import RelationshipChangedError, RelationshipEndedError
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.ports import People, Relationships
from aula_monitoring.domain.relationship import (
    Mode,
    Relationship,
    RelationshipChanges,
    RelationshipSearch,
    Status,
)

_ATTEMPTS = 5


class RelationshipService:
    """Relationships; `changed` is called after each change that may end an observation."""

    def __init__(
        self,
        *,
        relationships: Relationships,
        people: People,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._relationships = relationships
        self._people = people
        self._clock = clock
        self._changed = changed

    async def create(
        self,
        *,
        supervisor_id: str,
        student_id: str,
        mode: Mode,
        valid_from: datetime | None,
        valid_until: datetime | None,
    ) -> Relationship:
        """A new relationship, valid from now unless said otherwise.

        InvalidFieldError if auth doesn't know the supervisor as a supervisor or the student as
        an enduser; RelationshipExistsError if the two have an active one.
        """
        now = _milliseconds(self._clock.now())
        relationship = Relationship(
            id=new_id("rel"),
            supervisor_id=supervisor_id,
            student_id=student_id,
            mode=mode,
            status=Status.ACTIVE,
            valid_from=valid_from or now,
            valid_until=valid_until,
            created_at=now,
            updated_at=now,
        )
        _require_order(relationship)
        await self._require_role("supervisorId", supervisor_id, Role.SUPERVISOR)
        await self._require_role("studentId", student_id, Role.ENDUSER)
        await self._relationships.end_expired(
            supervisor_id=supervisor_id, student_id=student_id, at=now
        )
        await self._relationships.add(relationship)
        return relationship

    async def list_all(
        self,
        reader: Principal,
        *,
        supervisor_id: str | None,
        student_id: str | None,
        status: Status | None,
        offset: int,
        limit: int,
    ) -> Slice[Relationship]:
        """The relationships that the reader may see, newest first.

        An administrator sees all, others their own. A service names the supervisor whose
        relationships it asks for (InvalidFieldError else).
        """
        if reader.is_service and supervisor_id is None:
            raise InvalidFieldError("supervisorId", "is required for a service")
        own = None if reader.is_service or reader.role is Role.ADMIN else reader.id
        search = RelationshipSearch(
            at=self._clock.now(),
            supervisor_id=supervisor_id,
            student_id=student_id,
            involving=own,
            status=status,
        )
        return await self._relationships.search(search, offset=offset, limit=limit)

    async def get(self, reader: Principal, relationship_id: str) -> Relationship:
        """One relationship. NotFoundError if it is absent, or not for this reader."""
        found = await self._relationships.find(relationship_id)
        if found is None or not (reader.role is Role.ADMIN or found.involves(reader.id)):
            raise NotFoundError
        return found

    async def change(self, relationship_id: str, changes: RelationshipChanges) -> Relationship:
        """The relationship after the change, in force at once.

        NotFoundError if it is absent, RelationshipEndedError if it is over, InvalidFieldError if
        it would end before it begins.
        """
        for _ in range(_ATTEMPTS):
            found = await self._relationships.find(relationship_id)
            if found is None:
                raise NotFoundError
            now = _milliseconds(self._clock.now())
            if found.is_over(now):
                raise RelationshipEndedError
            changed = replace(found, **changes, updated_at=now, version=found.version + 1)
            _require_order(changed)
            if await self._relationships.replace(changed, version=found.version):
                self._changed()
                return changed
        raise RelationshipChangedError

    async def remove(self, relationship_id: str) -> None:
        """Delete it; what was observed stays in the audit. NotFoundError if it is absent."""
        if not await self._relationships.remove(relationship_id):
            raise NotFoundError
        self._changed()

    def is_over(self, relationship: Relationship) -> bool:
        """Whether it has ended by now, by its time too."""
        return relationship.is_over(self._clock.now())

    async def _require_role(self, field: str, user_id: str, role: Role) -> None:
        person = await self._people.find(user_id)
        if person is None or person.role is not role:
            raise InvalidFieldError(field, f"is not the id of a user with the role {role}")


def _milliseconds(moment: datetime) -> datetime:
    """The moment as the database keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _require_order(relationship: Relationship) -> None:
    until = relationship.valid_until
    if until is not None and until <= relationship.valid_from:
        raise InvalidFieldError("until", "must be later than from")
