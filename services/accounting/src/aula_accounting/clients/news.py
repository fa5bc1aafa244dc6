"""News on a Redis stream."""

import json
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from aula_accounting.domain.news import PendingNews
from aula_common.redis import redis_errors

STREAM = "aula.events.accounting"


class RedisNewsStream:
    """A NewsStream on Redis, which keeps about the newest `length` entries.

    An entry has the fields id, type, at (RFC 3339), userId, teamId (may be empty) and data (JSON).
    """

    def __init__(self, redis: Redis, *, length: int) -> None:
        self._redis = redis
        self._length = length

    async def publish(self, pending: Sequence[PendingNews]) -> None:
        """Append all or none, in this order. UnavailableError."""
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                for one in pending:
                    pipeline.xadd(STREAM, _fields(one), maxlen=self._length, approximate=True)
                await pipeline.execute()


def _fields(pending: PendingNews) -> dict[FieldT, EncodableT]:
    news = pending.news
    return {
        "id": f"accounting-{pending.id}",
        "type": news.type.value,
        "at": news.at.isoformat().replace("+00:00", "Z"),
        "userId": news.user_id,
        "teamId": news.team_id or "",
        "data": json.dumps(news.data, separators=(",", ":")),
    }
