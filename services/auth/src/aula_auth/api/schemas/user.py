"""People on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from aula_auth.domain.user import (
    DISPLAY_NAME_MAX_LENGTH,
    EMAIL_MAX_LENGTH,
    EMAIL_PATTERN,
    PASSWORD_MAX_LENGTH,
    PASSWORD_MIN_LENGTH,
    USERNAME_PATTERN,
    Tier,
    UserStatus,
)
from aula_common.security.principal import Role
from aula_common.web.schemas import Pagination, RequestModel, ResponseModel


def _human(role: Role) -> Role:
    if role is Role.SERVICE:
        msg = "must be enduser, supervisor or admin"
        raise ValueError(msg)
    return role


Username = Annotated[str, Field(pattern=USERNAME_PATTERN, max_length=32)]
Email = Annotated[str, Field(pattern=EMAIL_PATTERN, max_length=EMAIL_MAX_LENGTH)]
DisplayName = Annotated[str, Field(min_length=1, max_length=DISPLAY_NAME_MAX_LENGTH)]
NewPassword = Annotated[
    SecretStr, Field(min_length=PASSWORD_MIN_LENGTH, max_length=PASSWORD_MAX_LENGTH)
]
KnownPassword = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_MAX_LENGTH)]
HumanRole = Annotated[Role, AfterValidator(_human)]


class UserBody(ResponseModel):
    """A person."""

    id: str
    username: str
    email: str
    display_name: str | None
    role: Role
    tier: Tier
    status: UserStatus
    created_at: datetime
    updated_at: datetime


class UserList(ResponseModel):
    """A page of people."""

    users: list[UserBody]
    pagination: Pagination


class RegisterRequest(RequestModel):
    """Self-registration; the role is always `enduser`."""

    username: Username
    email: Email
    password: NewPassword
    display_name: DisplayName | None = None


class CreateUserRequest(RegisterRequest):
    """A person made by an administrator."""

    role: HumanRole = Role.ENDUSER
    tier: Tier = Tier.BASIC


class ChangeAccessRequest(RequestModel):
    """What an administrator changes of a person; what is left out stays."""

    role: HumanRole | None = None
    tier: Tier | None = None
    status: UserStatus | None = None


class ChangeProfileRequest(RequestModel):
    """What people change of themselves; a new username or email takes the password."""

    username: Username | None = None
    email: Email | None = None
    display_name: DisplayName | None = None
    current_password: KnownPassword | None = None


class ChangePasswordRequest(RequestModel):
    """A new password, confirmed with the old one."""

    current_password: KnownPassword
    new_password: NewPassword
