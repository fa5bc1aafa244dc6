"""The collections: their fields and indexes. Times are kept to the millisecond, in UTC."""

from datetime import datetime
from typing import Any, ClassVar

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel


class UserDocument(Document):
    """A person; the keys are the names in the form in which they are compared."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    username: str
    username_key: str
    email: str
    email_key: str
    display_name: str | None = None
    display_name_key: str | None = None
    password_hash: str
    role: str
    tier: str
    status: str
    created_at: datetime
    updated_at: datetime
    password_changed_at: datetime | None = None
    tokens_void_until: datetime | None = None
    sessions_void_until: datetime | None = None

    class Settings:
        """Names are unique whatever their case: the index decides, not a look beforehand."""

        name = "users"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("username_key", ASCENDING)], name="username", unique=True),
            IndexModel([("email_key", ASCENDING)], name="email", unique=True),
            IndexModel([("role", ASCENDING), ("username_key", ASCENDING)], name="role"),
            IndexModel(
                [("tokens_void_until", ASCENDING)],
                name="voided",
                partialFilterExpression={"tokens_void_until": {"$type": "date"}},
            ),
        ]


class FamilyDocument(Document):
    """A sign-in; `purge_at` is when nobody can ask for it any more."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    user_id: str
    user_agent: str | None = None
    address: str | None = None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    absolute_expires_at: datetime
    purge_at: datetime
    generation: int
    digest: bytes
    spent: dict[str, Any] | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None

    class Settings:
        """The expiry is the database's own work."""

        name = "families"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("user_id", ASCENDING), ("last_used_at", DESCENDING)], name="user"),
            IndexModel([("purge_at", ASCENDING)], name="purge", expireAfterSeconds=0),
            IndexModel(
                [("ended_at", ASCENDING)],
                name="ended",
                partialFilterExpression={"ended_at": {"$type": "date"}},
            ),
        ]


class KeyRingDocument(Document):
    """The one ring, under a fixed id: of two processes that start at once one inserts it."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    version: int
    keys: list[dict[str, Any]]

    class Settings:
        """Its id is its only index."""

        name = "key_rings"


class AttemptDocument(Document):
    """The attempts under one key in the window that ends at `resets_at`."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    attempts: int
    resets_at: datetime

    class Settings:
        """Kept a little beyond the window: the reader looks at the time itself."""

        name = "attempts"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("resets_at", ASCENDING)], name="purge", expireAfterSeconds=60),
        ]


class AuditDocument(Document):
    """One entry of the audit."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    at: datetime
    kind: str
    actor_id: str | None = None
    user_id: str | None = None
    address: str | None = None
    details: dict[str, str]
    purge_at: datetime

    class Settings:
        """Read newest first, of all or of one person."""

        name = "audit"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("at", DESCENDING)], name="at"),
            IndexModel([("user_id", ASCENDING), ("at", DESCENDING)], name="user"),
            IndexModel([("purge_at", ASCENDING)], name="purge", expireAfterSeconds=0),
        ]


DOCUMENTS: list[type[Document]] = [
    UserDocument,
    FamilyDocument,
    KeyRingDocument,
    AttemptDocument,
    AuditDocument,
]
