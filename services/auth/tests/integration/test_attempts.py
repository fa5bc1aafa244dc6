"""Counters of attempts in the real database."""

import asyncio
from datetime import UTC, datetime, timedelta

from aula_auth.storage.attempts import AttemptRepository
from aula_auth.storage.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def test_attempts_at_once_are_all_counted(database: Database) -> None:
    attempts = AttemptRepository(database)
    tallies = await asyncio.gather(
        *(attempts.add("key", now=NOW, window=MINUTE) for _ in range(30))
    )
    assert sorted(tally.count for tally in tallies) == list(range(1, 31))
    assert {tally.resets_at for tally in tallies} == {NOW + MINUTE}


async def test_window_that_is_over_starts_anew(database: Database) -> None:
    attempts = AttemptRepository(database)
    for _ in range(3):
        await attempts.add("key", now=NOW, window=MINUTE)
    tally = await attempts.add("key", now=NOW + MINUTE, window=MINUTE)
    assert (tally.count, tally.resets_at) == (1, NOW + 2 * MINUTE)


async def test_attempt_can_be_taken_back_or_forgotten(database: Database) -> None:
    attempts = AttemptRepository(database)
    for _ in range(3):
        await attempts.add("key", now=NOW, window=MINUTE)
    await attempts.take_back("key")
    assert (await attempts.add("key", now=NOW, window=MINUTE)).count == 3
    await attempts.forget("key")
    assert (await attempts.add("key", now=NOW, window=MINUTE)).count == 1


async def test_keys_are_stored_hashed(database: Database) -> None:
    await AttemptRepository(database).add("ada@example.org", now=NOW, window=MINUTE)
    assert "ada" not in repr(await database["attempts"].find_one())
