"""Users in MongoDB."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from aula_auth.domain.errors import NameTakenError
from aula_auth.domain.page import Slice
from aula_auth.domain.user import Tier, User, UserChanges, UserSearch, UserStatus, name_key
from aula_auth.storage.database import Database
from aula_auth.storage.documents import UserDocument
from aula_common.mongo import mongo_errors
from aula_common.security.principal import Role


class UserRepository:
    """People, by id and by the names they sign in with."""

    def __init__(self, database: Database) -> None:
        self._users = database[UserDocument.Settings.name]

    async def add(self, user: User, *, password_hash: str) -> None:
        """Store a new user. NameTakenError if the username or the email is another's."""
        document = {
            "_id": user.id,
            **_names(username=user.username, email=user.email, display_name=user.display_name),
            "password_hash": password_hash,
            "role": user.role,
            "tier": user.tier,
            "status": user.status,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
        }
        with mongo_errors():
            try:
                await self._users.insert_one(document)
            except DuplicateKeyError as error:
                raise _name_taken(error) from error

    async def find(self, user_id: str) -> User | None:
        """The user of that id."""
        with mongo_errors():
            return _optional(await self._users.find_one({"_id": user_id}))

    async def find_login(self, name: str) -> tuple[User, str] | None:
        """The user of that username or email, in any case, and the password's hash."""
        field = "email_key" if "@" in name else "username_key"
        with mongo_errors():
            found = await self._users.find_one({field: name_key(name)})
        return (_user(found), found["password_hash"]) if found else None

    async def find_password_hash(self, user_id: str) -> str | None:
        """The hash of that user's password."""
        with mongo_errors():
            found = await self._users.find_one({"_id": user_id}, {"password_hash": 1})
        return found["password_hash"] if found else None

    async def search(self, search: UserSearch, *, offset: int, limit: int) -> Slice[User]:
        """The users that match, by username."""
        query = _query(search)
        with mongo_errors():
            total = await self._users.count_documents(query)
            cursor = self._users.find(query).sort("username_key", 1).skip(offset).limit(limit)
            return Slice([_user(found) async for found in cursor], total)

    async def change(
        self,
        user_id: str,
        changes: UserChanges,
        *,
        at: datetime,
        void_tokens: bool = False,
        void_sessions: bool = False,
    ) -> User | None:
        """The user after the change. NameTakenError if a new name is another's."""
        access = {"role": changes.role, "tier": changes.tier, "status": changes.status}
        update: dict[str, Any] = {
            "$set": {
                **_names(
                    username=changes.username,
                    email=changes.email,
                    display_name=changes.display_name,
                ),
                **{name: value for name, value in access.items() if value is not None},
                "updated_at": at,
            }
        }
        voids = {
            "tokens_void_until": void_tokens or void_sessions,
            "sessions_void_until": void_sessions,
        }
        if voided := {name: at for name, asked in voids.items() if asked}:
            update["$max"] = voided
        with mongo_errors():
            try:
                return _optional(
                    await self._users.find_one_and_update(
                        {"_id": user_id}, update, return_document=ReturnDocument.AFTER
                    )
                )
            except DuplicateKeyError as error:
                raise _name_taken(error) from error

    async def change_password(
        self, user_id: str, *, old_hash: str, new_hash: str, at: datetime | None
    ) -> bool:
        """Replace the hash, unless it is no longer `old_hash`; `at` if the password is new too."""
        change: dict[str, Any] = {"password_hash": new_hash}
        if at is not None:
            change |= {"password_changed_at": at, "updated_at": at}
        with mongo_errors():
            result = await self._users.update_one(
                {"_id": user_id, "password_hash": old_hash}, {"$set": change}
            )
        return result.matched_count == 1


def _names(*, username: str | None, email: str | None, display_name: str | None) -> dict[str, str]:
    names = {"username": username, "email": email, "display_name": display_name}
    return {
        key: value
        for name, text in names.items()
        if text is not None
        for key, value in ((name, text), (f"{name}_key", name_key(text)))
    }


def _query(search: UserSearch) -> dict[str, Any]:
    exact = {"role": search.role, "tier": search.tier, "status": search.status}
    query: dict[str, Any] = {name: value for name, value in exact.items() if value is not None}
    conditions: list[dict[str, Any]] = []
    if search.text is not None:
        conditions.append(_matches(search.text, "username_key", "email_key", "display_name_key"))
    if search.name is not None:
        conditions.append(_matches(search.name, "username_key", "display_name_key"))
    if search.email is not None:
        conditions.append(_matches(search.email, "email_key"))
    if search.ids:
        query["_id"] = {"$in": list(search.ids)}
    if conditions:
        query["$and"] = conditions
    return query


def _matches(text: str, *fields: str) -> dict[str, Any]:
    pattern = {"$regex": re.escape(name_key(text))}
    return {"$or": [{field: pattern} for field in fields]}


def _name_taken(error: DuplicateKeyError) -> NameTakenError:
    pattern = (error.details or {}).get("keyPattern", {})
    return NameTakenError("email" if "email_key" in pattern else "username")


def _optional(found: Mapping[str, Any] | None) -> User | None:
    return _user(found) if found else None


def _user(found: Mapping[str, Any]) -> User:
    return User(
        id=found["_id"],
        username=found["username"],
        email=found["email"],
        display_name=found.get("display_name"),
        role=Role(found["role"]),
        tier=Tier(found["tier"]),
        status=UserStatus(found["status"]),
        created_at=found["created_at"],
        updated_at=found["updated_at"],
        password_changed_at=found.get("password_changed_at"),
        tokens_void_until=found.get("tokens_void_until"),
        sessions_void_until=found.get("sessions_void_until"),
    )
