"""People as administrators and services see them."""

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.errors import OwnAccountError
from aula_auth.domain.family import EndReason
from aula_auth.domain.moment import moment
from aula_auth.domain.page import Slice
from aula_auth.domain.ports import FamilyStore, UserStore
from aula_auth.domain.user import User, UserChanges, UserSearch, UserStatus
from aula_auth.services.audit import Audit
from aula_common.clock import Clock
from aula_common.errors import NotFoundError


class Users:
    """Finds people and changes what they may do."""

    def __init__(
        self, *, users: UserStore, families: FamilyStore, audit: Audit, clock: Clock
    ) -> None:
        self._users = users
        self._families = families
        self._audit = audit
        self._clock = clock

    async def get(self, user_id: str) -> User:
        """The user of that id. NotFoundError."""
        user = await self._users.find(user_id)
        if user is None:
            raise NotFoundError
        return user

    async def search(self, search: UserSearch, *, offset: int, limit: int) -> Slice[User]:
        """The users that match, by username."""
        return await self._users.search(search, offset=offset, limit=limit)

    async def change_access(
        self, user_id: str, changes: UserChanges, *, actor_id: str | None
    ) -> User:
        """The user with another role, tier or status; their tokens so far are void.

        A disabled user's sessions end. NotFoundError; OwnAccountError if it is the actor.
        """
        if user_id == actor_id and (changes.role is not None or changes.status is not None):
            raise OwnAccountError
        before = await self.get(user_id)
        if not (differences := _differences(before, changes)):
            return before
        # recorded first: an entry for a change that then failed is better than the reverse
        await self._audit.record(
            AuditKind.ACCESS_CHANGED, user_id=user_id, actor_id=actor_id, details=differences
        )
        disabled = changes.status is UserStatus.DISABLED
        await self._users.change(
            user_id, changes, at=moment(self._clock), void_tokens=True, void_sessions=disabled
        )
        # once more, now that all can see the change: a token may have been made of the old
        # record while the write was under way, later than the moment written with it
        user = await self._users.change(
            user_id, UserChanges(), at=moment(self._clock), void_tokens=True, void_sessions=disabled
        )
        if user is None:
            raise NotFoundError
        if disabled:
            at = moment(self._clock)
            await self._families.end_all(user_id, at=at, reason=EndReason.REVOKED)
        return user


def _differences(before: User, changes: UserChanges) -> dict[str, str]:
    pairs = {
        "role": (before.role, changes.role),
        "tier": (before.tier, changes.tier),
        "status": (before.status, changes.status),
    }
    return {
        name: f"{old} -> {new}"
        for name, (old, new) in pairs.items()
        if new is not None and new != old
    }
