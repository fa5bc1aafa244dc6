"""Sessions on the wire."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from aula_auth.api.schemas.user import KnownPassword, UserBody
from aula_auth.domain.session import Session
from aula_auth.domain.user import EMAIL_MAX_LENGTH
from aula_common.web.schemas import Pagination, RequestModel, ResponseModel

LoginName = Annotated[str, Field(min_length=1, max_length=EMAIL_MAX_LENGTH)]


class LoginRequest(RequestModel):
    """A username (or, in the same field, an email address), or an email; and the password."""

    username: LoginName | None = None
    email: LoginName | None = None
    password: KnownPassword

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.username is None) == (self.email is None):
            msg = "give either username or email"
            raise ValueError(msg)
        return self

    @property
    def name(self) -> str:
        """The one that was given."""
        return self.username or self.email or ""


class RefreshRequest(RequestModel):
    """The live refresh token."""

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=512)]


class SessionBody(ResponseModel):
    """The tokens of a signed-in person; `expiresIn` is the access token's, in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    user: UserBody

    @classmethod
    def of(cls, session: Session) -> "SessionBody":
        """The body for a session."""
        return cls(
            access_token=session.access_token.text,
            refresh_token=session.refresh_token,
            expires_in=session.access_token.expires_in,
            user=UserBody.model_validate(session.user),
        )


class DeviceBody(ResponseModel):
    """A signed-in device; `current` is the one that asks."""

    id: str
    user_agent: str | None
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class DeviceList(ResponseModel):
    """A page of signed-in devices."""

    sessions: list[DeviceBody]
    pagination: Pagination
