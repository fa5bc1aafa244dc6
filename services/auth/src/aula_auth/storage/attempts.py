"""Counters of attempts in MongoDB, so that all replicas count together."""

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from aula_auth.domain.attempt import Tally
from aula_auth.storage.database import Database
from aula_auth.storage.documents import AttemptDocument
from aula_common.mongo import mongo_errors


class AttemptRepository:
    """Counters of attempts in windows of time; keys are stored hashed."""

    def __init__(self, database: Database) -> None:
        self._attempts = database[AttemptDocument.Settings.name]

    async def add(self, key: str, *, now: datetime, window: timedelta) -> Tally:
        """Count one attempt; the tally with it."""
        with mongo_errors():
            while (found := await self._increment(key, now=now, window=window)) is None:
                # no upsert: of first attempts at once, each engine lets another one fail
                with suppress(DuplicateKeyError):
                    await self._attempts.insert_one(
                        {"_id": _hashed(key), "attempts": 0, "resets_at": now + window}
                    )
        return Tally(count=found["attempts"], resets_at=found["resets_at"])

    async def forget(self, key: str) -> None:
        """Start anew."""
        with mongo_errors():
            await self._attempts.delete_one({"_id": _hashed(key)})

    async def take_back(self, key: str) -> None:
        """Uncount one attempt."""
        with mongo_errors():
            await self._attempts.update_one(
                {"_id": _hashed(key), "attempts": {"$gt": 0}}, {"$inc": {"attempts": -1}}
            )

    async def _increment(
        self, key: str, *, now: datetime, window: timedelta
    ) -> dict[str, Any] | None:
        running = {"$gt": ["$resets_at", now]}
        update = [
            {
                "$set": {
                    "attempts": {"$cond": [running, {"$add": ["$attempts", 1]}, 1]},
                    "resets_at": {"$cond": [running, "$resets_at", now + window]},
                }
            }
        ]
        return await self._attempts.find_one_and_update(
            {"_id": _hashed(key)}, update, return_document=ReturnDocument.AFTER
        )


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
