"""What people change about themselves."""

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.errors import WrongPasswordError
from aula_auth.domain.family import EndReason
from aula_auth.domain.moment import moment
from aula_auth.domain.ports import UserStore
from aula_auth.domain.user import User, UserChanges
from aula_auth.services.attempts import AttemptGuard
from aula_auth.services.audit import Audit
from aula_auth.services.passwords import Passwords
from aula_auth.services.registration import require_password
from aula_auth.services.sessions import Sessions
from aula_common.clock import Clock
from aula_common.errors import ConflictError, InvalidFieldError, UnauthorizedError
from aula_common.security.principal import Principal


class Profile:
    """A signed-in person's own record."""

    def __init__(
        self,
        *,
        users: UserStore,
        passwords: Passwords,
        sessions: Sessions,
        guard: AttemptGuard,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._guard = guard
        self._audit = audit
        self._clock = clock

    async def get(self, principal: Principal) -> User:
        """The caller. UnauthorizedError if they no longer exist."""
        user = await self._users.find(principal.id)
        if user is None:
            raise UnauthorizedError
        return user

    async def change(
        self, principal: Principal, changes: UserChanges, *, current_password: str | None
    ) -> User:
        """The caller after the change.

        Username and email are what one signs in with: to change them takes the password.
        InvalidFieldError without it, WrongPasswordError, NameTakenError.
        """
        if changes.username is not None or changes.email is not None:
            if current_password is None:
                raise InvalidFieldError("currentPassword", "is needed to change this")
            await self._confirm(principal, current_password)
        user = await self._users.change(principal.id, changes, at=moment(self._clock))
        if user is None:
            raise UnauthorizedError
        await self._audit.record(
            AuditKind.PROFILE_CHANGED, user_id=principal.id, actor_id=principal.id
        )
        return user

    async def change_password(
        self, principal: Principal, *, current_password: str, new_password: str
    ) -> None:
        """Set a new password and end the other sessions.

        InvalidFieldError, WrongPasswordError; ConflictError if another change was faster.
        """
        require_password(new_password, field_name="newPassword")
        stored = await self._confirm(principal, current_password)
        new_hash = await self._passwords.hash(new_password)
        changed = await self._users.change_password(
            principal.id, old_hash=stored, new_hash=new_hash, at=moment(self._clock)
        )
        if not changed:
            raise ConflictError("The password was changed meanwhile.")
        await self._sessions.end_others(
            principal.id, but=principal.session_id, reason=EndReason.PASSWORD_CHANGED
        )
        await self._audit.record(
            AuditKind.PASSWORD_CHANGED, user_id=principal.id, actor_id=principal.id
        )

    async def _confirm(self, principal: Principal, password: str) -> str:
        await self._guard.admit_confirmation(principal.id)
        stored = await self._users.find_password_hash(principal.id)
        verdict = await self._passwords.verify(password, stored)
        if stored is None or not verdict.right:
            raise WrongPasswordError("currentPassword")
        await self._guard.pass_confirmation(principal.id)
        return stored
