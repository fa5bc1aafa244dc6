"""The previous version's sessions go on while the schema is migrated under them."""

import json
from typing import Any

import asyncpg
import pytest
from accounting_builders import SONNET, open_bank, plain_url, postgres_settings

from aula_accounting.storage.schema import migrate
from aula_common.postgres import create_engine

_BEFORE = "0002"  # the schema that the previous version was made for
_ROUNDS = 7  # from the sixth on a session may keep a generic plan


class _Previous:
    """A session as the previous version holds it: prepared statements, its own columns alone."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._number = 0

    async def prepare(self) -> None:
        row = "f.outcome, (f.reservation).session_id, (f.reservation).status"
        self._reserve = await self._connection.prepare(
            f"SELECT {row} FROM reserve_credits($1::jsonb, now(), interval '5 minutes', 5) AS f"  # noqa: S608 - the test's own
        )
        self._settle = await self._connection.prepare(
            f"SELECT {row} FROM settle_credits($1::jsonb, now()) AS f"  # noqa: S608 - likewise
        )
        self._report = await self._connection.prepare(
            "SELECT (f.reservation).status FROM report_progress($1::jsonb, now()) AS f"
        )

    async def live(self) -> None:
        """One stream from its reserve to its end, and another's tombstone."""
        self._number += 1
        ids = {"place": 0, "session_id": f"str_{self._number}", "user_id": "usr_a"}
        asked = {"service_id": "chat", "model_ids": [SONNET], "digest": "d", "input_tokens": 500}
        tokens = {"output_tokens": 500, "unsplit_tokens": 0, "max_output_tokens": 500}
        assert await self._call(self._reserve, {**ids, **asked, **tokens}) == "reserved"
        reported = await self._call(self._report, {**ids, "tokens_generated": 5})
        assert reported == "active"
        end = {"kind": "finalize", "actor_id": "chat", "status": "completed"}
        used = {"input_tokens": 300, "output_tokens": 100, "unsplit_tokens": 0}
        assert await self._call(self._settle, {**ids, **end, **used}) == "settled"
        abort = {**ids, "session_id": f"tomb_{self._number}", "kind": "abort"}
        tombstone = {**abort, "actor_id": "chat", "status": "aborted", **used}
        assert await self._call(self._settle, tombstone) == "settled"

    @staticmethod
    async def _call(statement: Any, request: dict[str, Any]) -> str:
        [row] = await statement.fetch(json.dumps([request]))
        word: str = row[0]
        return word


@pytest.mark.parametrize("quota", [False, True])
async def test_streams_of_the_previous_version_go_on(
    postgres_database: str, *, quota: bool
) -> None:
    engine = create_engine(postgres_settings(postgres_database), application="test")
    connection = await asyncpg.connect(plain_url(postgres_database))
    try:
        await migrate(engine, _BEFORE)
        await connection.execute(
            "INSERT INTO accounts (user_id, remaining, held, created_at) "
            "VALUES ('usr_a', 1000, 0, now())"
        )
        await connection.execute(
            "INSERT INTO allocations (user_id, id, granted, remaining, held, charged, lapsed, "
            "revoked, created_at, created_by) "
            "VALUES ('usr_a', 'alc_1', 1000, 1000, 0, 0, 0, 0, now(), 'x')"
        )
        await connection.execute(
            "INSERT INTO ledger_entries (user_id, kind, amount, allocation_id, actor_id, "
            "recorded_at) VALUES ('usr_a', 'allocate', 1000, 'alc_1', 'x', now())"
        )
        previous = _Previous(connection)
        await previous.prepare()
        for _ in range(_ROUNDS):
            await previous.live()
        await migrate(engine)
        if quota:
            await connection.execute(
                "INSERT INTO quotas VALUES ('user', 'usr_a', 'messages', 'day', 0, 'x', now())"
            )
        for _ in range(_ROUNDS):
            await previous.live()
    finally:
        await connection.close()
        await engine.dispose()
    async with open_bank(postgres_database) as bank:
        assert await bank.discrepancies() == []
        balance = await bank.context.credits.get_balance("usr_a")
        assert (balance.available, balance.held) == (1000 - 2 * 2 * _ROUNDS, 0)
