"""Which observations are still wanted: kept in Redis, because any replica hears of it."""

from collections.abc import Sequence

from redis.asyncio import Redis

from aula_common.redis import redis_errors


class ObservationRepository:
    """One expiring key for each observation."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def renew(self, observation_ids: Sequence[str], *, ttl_seconds: float) -> None:
        """Keep these alive for so long from now."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for observation_id in observation_ids:
                    pipeline.set(_key(observation_id), 1, px=int(ttl_seconds * 1000))
                await pipeline.execute()

    async def alive(self, observation_id: str) -> bool:
        """Whether it was renewed in time."""
        with redis_errors():
            return bool(await self._redis.exists(_key(observation_id)))


def _key(observation_id: str) -> str:
    return f"aula:observation:{{{observation_id}}}"
