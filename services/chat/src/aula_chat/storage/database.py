"""The chat service's collections and their indexes."""

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from aula_chat.domain.errors import DatabaseTooOldError
from aula_common.mongo import mongo_errors

Document = dict[str, Any]

_INDEXES: dict[str, list[IndexModel]] = {
    "sessions": [
        IndexModel([("userId", ASCENDING), ("updatedAt", DESCENDING)], name="owner"),
        IndexModel(
            [("formerUserId", ASCENDING)],
            name="former_owner",
            partialFilterExpression={"formerUserId": {"$exists": True}},
        ),
    ],
    "messages": [IndexModel([("sessionId", ASCENDING), ("position", DESCENDING)], name="order")],
    "streams": [
        # the claim: one live stream for each session
        IndexModel(
            [("sessionId", ASCENDING)],
            name="claim",
            unique=True,
            partialFilterExpression={"live": True},
        ),
        IndexModel(
            [("userId", ASCENDING), ("idempotencyKey", ASCENDING)],
            name="idempotency",
            unique=True,
            partialFilterExpression={"idempotencyKey": {"$exists": True}},
        ),
        IndexModel([("sessionId", ASCENDING), ("startedAt", DESCENDING)], name="latest"),
        IndexModel([("leaseMs", ASCENDING)], name="leases", partialFilterExpression={"live": True}),
        IndexModel(
            [("endedAt", ASCENDING)],
            name="unsettled",
            partialFilterExpression={"unsettled": True},
        ),
        IndexModel([("purgeAt", ASCENDING)], name="purge", expireAfterSeconds=0),
    ],
    "erasures": [IndexModel([("dueAt", ASCENDING)], name="due", sparse=True)],
}


_BULK_WRITE_WIRE_VERSION = 25  # of MongoDB 8.0: writes to several collections in one command


async def require_version(database: AsyncDatabase[Document]) -> None:
    """Raise DatabaseTooOldError unless this server can do what is asked of it."""
    with mongo_errors():
        hello = await database.command("hello")
    if hello["maxWireVersion"] < _BULK_WRITE_WIRE_VERSION:
        raise DatabaseTooOldError


async def ensure_indexes(database: AsyncDatabase[Document]) -> None:
    """Create what is missing; what is there stays."""
    with mongo_errors():
        for collection, indexes in _INDEXES.items():
            await database[collection].create_indexes(indexes)
