"""What was withdrawn, read from where it happened: users and families themselves.

There is no list to keep beside them, so none can be forgotten between two writes.
"""

from collections.abc import Sequence
from datetime import datetime

from aula_auth.domain.user import UserStatus
from aula_auth.storage.database import Database
from aula_auth.storage.documents import FamilyDocument, UserDocument
from aula_common.mongo import mongo_errors


class RevocationRepository:
    """Revocations as users and families remember them."""

    def __init__(self, database: Database) -> None:
        self._users = database[UserDocument.Settings.name]
        self._families = database[FamilyDocument.Settings.name]

    async def users_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        """Users whose tokens were voided at that moment or later, and when."""
        with mongo_errors():
            cursor = self._users.find({"tokens_void_until": {"$gte": at}}, {"tokens_void_until": 1})
            return [(found["_id"], found["tokens_void_until"]) async for found in cursor]

    async def families_since(self, at: datetime) -> Sequence[tuple[str, datetime]]:
        """Families ended at that moment or later, and when."""
        with mongo_errors():
            cursor = self._families.find({"ended_at": {"$gte": at}}, {"ended_at": 1})
            return [(found["_id"], found["ended_at"]) async for found in cursor]

    async def is_withdrawn(
        self, *, user_id: str, family_id: str | None, issued_at: datetime
    ) -> bool:
        """Whether a token of that user and family was withdrawn, as of this moment."""
        with mongo_errors():
            user = await self._users.find_one(
                {"_id": user_id}, {"status": 1, "tokens_void_until": 1}
            )
            if user is None or user["status"] != UserStatus.ACTIVE:
                return True
            void_until: datetime | None = user.get("tokens_void_until")
            if void_until is not None and issued_at <= void_until:
                return True
            if family_id is None:
                return False
            family = await self._families.find_one({"_id": family_id}, {"ended_at": 1})
        return family is None or family.get("ended_at") is not None
