"""Idempotency keys. The row is the lock: a second request waits for the first to end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from aula_accounting.domain.idempotency import KEPT_FOR, IdempotencyKey
from aula_accounting.storage.tables import idempotency_keys as keys
from aula_common.errors import IdempotencyKeyReusedError


class IdempotencyStore:
    """An IdempotencyRepository on PostgreSQL."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, key: IdempotencyKey, *, at: datetime) -> Mapping[str, Any] | None:
        """Take the key until the transaction ends, or return the answer stored under it."""
        await self._connection.execute(
            sa.delete(keys).where(_is(key), keys.c.created_at <= at - KEPT_FOR)
        )
        taken = await self._connection.scalar(
            insert(keys)
            .values(caller_id=key.caller_id, key=key.key, digest=key.digest, created_at=at)
            .on_conflict_do_nothing()
            .returning(keys.c.key)
        )
        if taken is not None:
            return None
        rows = await self._connection.execute(
            sa.select(keys.c.digest, keys.c.answer).where(_is(key))
        )
        stored = rows.one()
        if stored.digest != key.digest:
            raise IdempotencyKeyReusedError
        answer: Mapping[str, Any] = stored.answer
        return answer

    async def store(self, key: IdempotencyKey, answer: Mapping[str, Any]) -> None:
        """Keep the answer with the key, in the same transaction as the effect."""
        await self._connection.execute(sa.update(keys).where(_is(key)).values(answer=dict(answer)))

    async def forget_before(self, moment: datetime) -> int:
        """Drop keys from before the moment; how many there were."""
        result = await self._connection.execute(sa.delete(keys).where(keys.c.created_at <= moment))
        return result.rowcount


def _is(key: IdempotencyKey) -> sa.ColumnElement[bool]:
    return sa.and_(keys.c.caller_id == key.caller_id, keys.c.key == key.key)
