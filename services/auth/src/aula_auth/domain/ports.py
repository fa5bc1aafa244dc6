"""What the services need of storage; the layers keep them from importing it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from aula_auth.domain.attempt import Tally
from aula_auth.domain.audit import AuditEvent, AuditSearch
from aula_auth.domain.family import EndReason, Family, Spent
from aula_auth.domain.keyring import KeyRing
from aula_auth.domain.page import Slice
from aula_auth.domain.user import User, UserChanges, UserSearch


class UserStore(Protocol):
    """People, by id and by the names they sign in with."""

    async def add(self, user: User, *, password_hash: str) -> None:
        """Store a new user. NameTakenError if the username or the email is another's."""
        ...

    async def find(self, user_id: str) -> User | None:
        """The user of that id."""
        ...

    async def find_login(self, name: str) -> tuple[User, str] | None:
        """The user of that username or email, in any case, and the password's hash."""
        ...

    async def find_password_hash(self, user_id: str) -> str | None:
        """The hash of that user's password."""
        ...

    async def search(self, search: UserSearch, *, offset: int, limit: int) -> Slice[User]:
        """The users that match, by username."""
        ...

    async def change(
        self,
        user_id: str,
        changes: UserChanges,
        *,
        at: datetime,
        void_tokens: bool = False,
        void_sessions: bool = False,
    ) -> User | None:
        """The user after the change. NameTakenError as in `add`.

        With `void_tokens` the access tokens issued up to `at` are no longer good; with
        `void_sessions` neither are the sessions that began by then.
        """
        ...

    async def change_password(
        self, user_id: str, *, old_hash: str, new_hash: str, at: datetime | None
    ) -> bool:
        """Replace the hash, unless it is no longer `old_hash`; `at` if the password is new too."""
        ...


class FamilyStore(Protocol):
    """Sign-ins."""

    async def add(self, family: Family) -> None:
        """Store a new family."""
        ...

    async def find(self, family_id: str) -> Family | None:
        """The family of that id."""
        ...

    async def rotate(
        self,
        family_id: str,
        *,
        generation: int,
        digest: bytes,
        spent: Spent,
        expires_at: datetime,
    ) -> Family | None:
        """Put the next token in the place of the one just spent, if that is still the live one."""
        ...

    async def list_live(
        self, user_id: str, *, now: datetime, since: datetime | None, offset: int, limit: int
    ) -> Slice[Family]:
        """The user's live families that began after `since`, latest used first."""
        ...

    async def end(self, family_id: str, *, user_id: str, at: datetime, reason: EndReason) -> bool:
        """End a family of that user; False if it is not a live one of theirs."""
        ...

    async def end_all(
        self, user_id: str, *, at: datetime, reason: EndReason, but: str | None = None
    ) -> int:
        """End the user's families (but for one); how many there were."""
        ...


class KeyRingStore(Protocol):
    """The one key ring."""

    async def load(self) -> KeyRing | None:
        """The ring; None before the first start."""
        ...

    async def create(self, ring: KeyRing) -> bool:
        """Store the first ring; False if another process was first."""
        ...

    async def replace(self, ring: KeyRing) -> bool:
        """Store the ring in the place of the version before; False if another was first."""
        ...


class AttemptStore(Protocol):
    """Counters of attempts in windows of time."""

    async def add(self, key: str, *, now: datetime, window: timedelta) -> Tally:
        """Count one attempt; the tally with it."""
        ...

    async def forget(self, key: str) -> None:
        """Start anew."""
        ...

    async def take_back(self, key: str) -> None:
        """Uncount one attempt."""
        ...


class RevocationStore(Protocol):
    """What was withdrawn, as users and families remember it."""

    async def users_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        """Users whose tokens were voided at that moment or later, and when."""
        ...

    async def families_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        """Families ended at that moment or later, and when."""
        ...

    async def is_withdrawn(
        self, *, user_id: str, family_id: str | None, issued_at: datetime
    ) -> bool:
        """Whether a token of that user and family was withdrawn, as of this moment."""
        ...


class AuditStore(Protocol):
    """The audit."""

    async def add(self, event: AuditEvent) -> None:
        """Append an entry."""
        ...

    async def search(self, search: AuditSearch, *, offset: int, limit: int) -> Slice[AuditEvent]:
        """The entries that match, newest first."""
        ...
