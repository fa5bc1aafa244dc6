"""Who observes which session now, over all replicas: in Redis, because it is nothing to keep."""

from collections.abc import Mapping

from redis.asyncio import Redis, RedisCluster

from aula_chat.domain.observers import Watching
from aula_common.redis import redis_errors

# KEYS: the session's observers, by when they lapse. ARGV: life in milliseconds, the observations
# that go on. By the server's clock, as replicas' clocks may differ. Answers how many there are.
_COUNT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[index]) end
if #ARGV > 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZCARD', KEYS[1])
"""


class ObserverRepository:
    """One sorted set for each session that is observed."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis

    async def count(
        self, sessions: Mapping[str, Watching], *, ttl_seconds: float
    ) -> dict[str, int]:
        """Tell who observes these sessions here, for so long; how many do anywhere.

        One round trip.
        """
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for session_id, watching in sessions.items():
                    if watching.gone:
                        pipeline.zrem(_key(session_id), *watching.gone)
                for session_id, watching in sessions.items():
                    key, life = _key(session_id), int(ttl_seconds * 1000)
                    pipeline.eval(_COUNT, 1, key, life, *watching.present)
                results = await pipeline.execute()
        counts = results[len(results) - len(sessions) :]
        return {session_id: int(count) for session_id, count in zip(sessions, counts, strict=True)}


def _key(session_id: str) -> str:
    return f"aula:session:{{{session_id}}}:observers"
