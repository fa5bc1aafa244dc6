"""The collections: their fields and indexes. Times are kept to the millisecond, in UTC."""

from datetime import datetime
from typing import ClassVar

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel


class RelationshipDocument(Document):
    """A supervisor and a student."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    supervisor_id: str
    student_id: str
    mode: str
    status: str
    valid_from: datetime
    valid_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    version: int

    class Settings:
        """Of two people one relationship at most is active: the index decides."""

        name = "relationships"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("supervisor_id", ASCENDING), ("student_id", ASCENDING)],
                name="active_pair",
                unique=True,
                partialFilterExpression={"status": "active"},
            ),
            IndexModel(
                [("supervisor_id", ASCENDING), ("created_at", DESCENDING)], name="by_supervisor"
            ),
            IndexModel([("student_id", ASCENDING), ("created_at", DESCENDING)], name="by_student"),
            IndexModel([("created_at", DESCENDING)], name="newest"),
        ]


class AuditDocument(Document):
    """One look at somebody's conversations; never changed but for its end."""

    id: str  # type: ignore[assignment]  # ids are made by us, never by the database
    at: datetime
    observer_id: str
    observer_role: str
    kind: str
    student_id: str | None = None
    session_id: str | None = None
    mode: str | None = None
    ended_at: datetime | None = None
    reason: str | None = None

    class Settings:
        """Read newest first: of all, of one student, of one observer."""

        name = "audit"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("at", DESCENDING)], name="newest"),
            IndexModel([("student_id", ASCENDING), ("at", DESCENDING)], name="by_student"),
            IndexModel([("observer_id", ASCENDING), ("at", DESCENDING)], name="by_observer"),
        ]


DOCUMENTS: list[type[Document]] = [RelationshipDocument, AuditDocument]
