"""New people: by themselves, by an administrator, and the first administrator."""

from dataclasses import dataclass, field

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.errors import RegistrationClosedError
from aula_auth.domain.moment import moment
from aula_auth.domain.ports import UserStore
from aula_auth.domain.user import (
    PASSWORD_MAX_LENGTH,
    PASSWORD_MIN_LENGTH,
    Tier,
    User,
    UserStatus,
    is_email,
    is_username,
)
from aula_auth.services.attempts import AttemptGuard
from aula_auth.services.audit import Audit
from aula_auth.services.passwords import Passwords
from aula_common.clock import Clock
from aula_common.errors import InvalidFieldError
from aula_common.ids import new_id
from aula_common.security.principal import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Who shall be created."""

    username: str
    email: str
    password: str = field(repr=False)
    display_name: str | None = None
    role: Role = Role.ENDUSER
    tier: Tier = Tier.BASIC


class Registration:
    """Creates people."""

    def __init__(
        self,
        *,
        users: UserStore,
        passwords: Passwords,
        guard: AttemptGuard,
        audit: Audit,
        clock: Clock,
        is_open: bool,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._guard = guard
        self._audit = audit
        self._clock = clock
        self._is_open = is_open

    async def register(
        self,
        *,
        username: str,
        email: str,
        password: str,
        display_name: str | None,
        address: str | None,
    ) -> User:
        """A new end user, by themselves.

        RegistrationClosedError, NameTakenError, InvalidFieldError, RateLimitedError.
        """
        if not self._is_open:
            raise RegistrationClosedError
        new = NewUser(username=username, email=email, password=password, display_name=display_name)
        _require_valid(new)
        await self._guard.admit_registration(address)
        user = await self._add(new)
        await self._audit.record(
            AuditKind.REGISTERED, user_id=user.id, actor_id=user.id, address=address
        )
        return user

    async def create(self, new: NewUser, *, actor_id: str | None) -> User:
        """A new user of any role, by an administrator. NameTakenError, InvalidFieldError."""
        _require_valid(new)
        user = await self._add(new)
        await self._audit.record(
            AuditKind.USER_CREATED,
            user_id=user.id,
            actor_id=actor_id,
            details={"role": user.role, "tier": user.tier},
        )
        return user

    async def find_by_username(self, username: str) -> User | None:
        """The user of that name, in any case."""
        found = await self._users.find_login(username)
        return found[0] if found else None

    async def _add(self, new: NewUser) -> User:
        password_hash = await self._passwords.hash(new.password)
        now = moment(self._clock)
        user = User(
            id=new_id("usr"),
            username=new.username,
            email=new.email,
            display_name=new.display_name,
            role=new.role,
            tier=new.tier,
            status=UserStatus.ACTIVE,
            created_at=now,
            updated_at=now,
        )
        await self._users.add(user, password_hash=password_hash)
        return user


def _require_valid(new: NewUser) -> None:
    if not is_username(new.username):
        raise InvalidFieldError("username", "must have 3 to 32 of letters, digits, '.', '_', '-'")
    if not is_email(new.email):
        raise InvalidFieldError("email", "must be an email address")
    require_password(new.password, field_name="password")


def require_password(password: str, *, field_name: str) -> None:
    """Raise InvalidFieldError unless the password's length is allowed; never hash before."""
    if not PASSWORD_MIN_LENGTH <= len(password) <= PASSWORD_MAX_LENGTH:
        raise InvalidFieldError(
            field_name,
            f"must have {PASSWORD_MIN_LENGTH} to {PASSWORD_MAX_LENGTH} characters",
        )
