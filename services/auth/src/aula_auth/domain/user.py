"""People: who they are, what they may be, how their names are compared."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aula_common.security.principal import Role

USERNAME_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{1,30})[A-Za-z0-9]$"
EMAIL_PATTERN = r"^[^@\s<>()\[\],;:\\\"]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+$"
EMAIL_MAX_LENGTH = 254
PASSWORD_MIN_LENGTH = 8
PASSWORD_MAX_LENGTH = 128
DISPLAY_NAME_MAX_LENGTH = 100

_USERNAME = re.compile(USERNAME_PATTERN)
_EMAIL = re.compile(EMAIL_PATTERN)


class Tier(StrEnum):
    """What a person has subscribed to."""

    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class UserStatus(StrEnum):
    """Whether a person may sign in."""

    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person.

    Access tokens issued up to `tokens_void_until` and sessions begun up to `sessions_void_until`
    are no longer good.
    """

    id: str
    username: str
    email: str
    display_name: str | None
    role: Role
    tier: Tier
    status: UserStatus
    created_at: datetime
    updated_at: datetime
    password_changed_at: datetime | None = None
    tokens_void_until: datetime | None = None
    sessions_void_until: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether the person may sign in and stay signed in."""
        return self.status is UserStatus.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChanges:
    """What to change of a user; None leaves a field as it is."""

    username: str | None = None
    email: str | None = None
    display_name: str | None = None
    role: Role | None = None
    tier: Tier | None = None
    status: UserStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSearch:
    """Which users to list; texts match anywhere in the name, in any case."""

    text: str | None = None
    name: str | None = None
    email: str | None = None
    role: Role | None = None
    tier: Tier | None = None
    status: UserStatus | None = None
    ids: tuple[str, ...] = ()


def name_key(name: str) -> str:
    """What two names have in common that differ in case or in how Unicode spells them."""
    return unicodedata.normalize("NFKC", name).casefold()


def is_username(text: str) -> bool:
    """Whether the text can be a username: 3 to 32 of letters, digits, '.', '_', '-'."""
    return _USERNAME.fullmatch(text) is not None


def is_email(text: str) -> bool:
    """Whether the text has the form of an email address."""
    return len(text) <= EMAIL_MAX_LENGTH and _EMAIL.fullmatch(text) is not None
