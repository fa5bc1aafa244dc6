"""The one who calls."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

USER_AUDIENCE = "aula"


class Role(StrEnum):
    """What a caller may be; a person has one of the first three."""

    ENDUSER = "enduser"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose token was verified.

    `acting_for` is the person that a service names in `X-On-Behalf-Of`; it is believed beside
    a service token only.
    """

    id: str
    role: Role
    token_id: str
    issued_at: datetime
    expires_at: datetime
    tier: str = "basic"
    teams: tuple[str, ...] = ()
    session_id: str | None = None
    scopes: frozenset[str] = frozenset()
    acting_for: str | None = None

    @property
    def is_service(self) -> bool:
        """Whether the caller is a program of the platform and not a person."""
        return self.role is Role.SERVICE

    @property
    def subject(self) -> str:
        """The person concerned: the caller, or whom a service acts for."""
        return self.acting_for or self.id
