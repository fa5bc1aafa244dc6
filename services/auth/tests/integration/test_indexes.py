"""The indexes that correctness and expiry rest on."""

from typing import Any

from aula_auth.storage.database import Database, prepare


async def indexes_of(database: Database, collection: str) -> dict[str, Any]:
    return dict(await database[collection].index_information())


async def test_names_are_unique_by_index(database: Database) -> None:
    indexes = await indexes_of(database, "users")
    assert indexes["username"]["unique"]
    assert indexes["email"]["unique"]


async def test_what_expires_is_removed_by_the_database(database: Database) -> None:
    expected = {"families": ("purge", 0), "audit": ("purge", 0), "attempts": ("purge", 60)}
    for collection, (name, seconds) in expected.items():
        assert (await indexes_of(database, collection))[name]["expireAfterSeconds"] == seconds


async def test_preparing_a_prepared_database_changes_nothing(database: Database) -> None:
    before = await indexes_of(database, "users")
    await prepare(database)
    assert await indexes_of(database, "users") == before


async def test_writes_are_acknowledged_by_a_majority_and_journalled(database: Database) -> None:
    assert database["families"].write_concern.document == {"w": "majority", "j": True}
