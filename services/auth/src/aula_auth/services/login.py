"""Sign-in by name and password."""

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.errors import InvalidCredentialsError
from aula_auth.domain.family import Device
from aula_auth.domain.ports import UserStore
from aula_auth.domain.session import Session
from aula_auth.domain.user import User
from aula_auth.services.attempts import AttemptGuard
from aula_auth.services.audit import Audit
from aula_auth.services.passwords import Passwords
from aula_auth.services.sessions import Sessions


class Login:
    """Signs people in; the same answer and the same work whatever is wrong."""

    def __init__(
        self,
        *,
        users: UserStore,
        passwords: Passwords,
        sessions: Sessions,
        guard: AttemptGuard,
        audit: Audit,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._guard = guard
        self._audit = audit

    async def sign_in(self, *, name: str, password: str, device: Device) -> Session:
        """A session for the username or email and its password.

        InvalidCredentialsError if they don't belong together or the account is disabled;
        RateLimitedError after too many failures.
        """
        await self._guard.admit_sign_in(name, device.address)
        user = await self._authenticate(name, password, device)
        session = await self._sessions.begin(user, device)
        await self._guard.pass_sign_in(name, device.address)
        await self._audit.record(
            AuditKind.SIGNED_IN, user_id=user.id, actor_id=user.id, address=device.address
        )
        return session

    async def _authenticate(self, name: str, password: str, device: Device) -> User:
        user, stored = await self._users.find_login(name) or (None, None)
        verdict = await self._passwords.verify(password, stored)
        if user is None or stored is None or not verdict.right or not user.is_active:
            # for an unknown name too: the work, and so the time, is the same
            await self._audit.record(
                AuditKind.SIGN_IN_FAILED,
                user_id=user.id if user else None,
                address=device.address,
            )
            raise InvalidCredentialsError
        if verdict.new_hash is not None:
            await self._users.change_password(
                user.id, old_hash=stored, new_hash=verdict.new_hash, at=None
            )
        return user
