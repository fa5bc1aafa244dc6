"""What a sign-in or a refresh gives."""

from dataclasses import dataclass, field

from aula_auth.domain.user import User


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A signed access token and how long it lives, in seconds."""

    text: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in person's tokens."""

    user: User
    access_token: AccessToken
    refresh_token: str = field(repr=False)
