"""What the services need of storage and of other services."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from aula_common.security.principal import Principal
from aula_monitoring.domain.audit import AuditEntry, AuditSearch
from aula_monitoring.domain.conversation import Document
from aula_monitoring.domain.observation import Observation
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.person import Person
from aula_monitoring.domain.relationship import Relationship, RelationshipSearch
from aula_monitoring.domain.student import RunningStream


class Relationships(Protocol):
    """Relationships in the database; every method raises UnavailableError while it is away."""

    async def add(self, relationship: Relationship) -> None:
        """Store it. RelationshipExistsError if the two have an active one."""
        ...

    async def find(self, relationship_id: str) -> Relationship | None:
        """The relationship of that id."""
        ...

    async def find_active(
        self, *, supervisor_id: str, student_id: str, at: datetime
    ) -> Relationship | None:
        """The one of these two that is valid at that moment."""
        ...

    async def find_many(self, ids: Collection[str], *, within: float) -> Mapping[str, Relationship]:
        """Those that exist, by id. UnavailableError also after `within` seconds."""
        ...

    async def search(
        self, search: RelationshipSearch, *, offset: int, limit: int
    ) -> Slice[Relationship]:
        """Those that match, newest first."""
        ...

    async def replace(self, relationship: Relationship, *, version: int) -> bool:
        """Store it in the place of that version; False if that is no longer the current one."""
        ...

    async def end_expired(self, *, supervisor_id: str, student_id: str, at: datetime) -> None:
        """Mark as ended what ended by its time."""
        ...

    async def remove(self, relationship_id: str) -> bool:
        """Delete it; False if there is none."""
        ...


class AuditLog(Protocol):
    """The audit in the database; every method raises UnavailableError while it is away."""

    async def add(self, entry: AuditEntry) -> None:
        """Store it, acknowledged by a majority."""
        ...

    async def end(self, entry_id: str, *, at: datetime, reason: str) -> None:
        """Set the end, unless it is set."""
        ...

    async def search(self, search: AuditSearch, *, offset: int, limit: int) -> Slice[AuditEntry]:
        """The entries that match, newest first."""
        ...


class People(Protocol):
    """auth's users. UnavailableError while auth is away."""

    async def find(self, user_id: str) -> Person | None:
        """The person of that id."""
        ...

    async def find_many(self, ids: Collection[str]) -> Mapping[str, Person]:
        """Those whom auth knows, by id."""
        ...

    async def search(
        self, text: str, *, among: Collection[str] | None, page: int, limit: int
    ) -> Slice[Person]:
        """People whose names hold the text; with `among` only those."""
        ...


class StreamDirectory(Protocol):
    """accounting's running streams. UnavailableError while accounting is away."""

    async def list_running(self, user_id: str, *, observer_id: str) -> Sequence[RunningStream]:
        """The person's streams, oldest first."""
        ...


class Conversations(Protocol):
    """chat's conversations. UnavailableError while chat is away."""

    async def find_owner(self, session_id: str) -> str | None:
        """Whose conversation it is."""
        ...

    async def list_sessions(
        self, user_id: str, *, observer_id: str, page: int, limit: int
    ) -> Document:
        """A page of the person's conversations. NotFoundError if chat does not know them."""
        ...

    async def get_session(self, user_id: str, session_id: str, *, observer_id: str) -> Document:
        """One conversation with its messages. NotFoundError if it is not the person's."""
        ...

    def observe(
        self, observation: Observation, *, last_event_id: str | None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The conversation's events as bytes, until chat ends them.

        Entering raises NotFoundError if there is nothing to show, MalformedRequestError if chat
        doesn't understand the position; a broken connection raises UnavailableError.
        """
        ...

    async def renew(self, observation_ids: Sequence[str]) -> None:
        """Tell chat that these go on."""
        ...


class TokenCheck(Protocol):
    """Whether a caller verified earlier would be let in now."""

    def is_current(self, principal: Principal) -> bool:
        """False once the token expired or was withdrawn."""
        ...
