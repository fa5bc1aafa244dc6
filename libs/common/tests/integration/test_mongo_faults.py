"""The MongoDB server killed, restarted, frozen: one kind of error, bounded, and it recovers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ClientBulkWriteException, DuplicateKeyError, OperationFailure

from aula_common.errors import UnavailableError
from aula_common.mongo import create_client, database, mongo_errors
from aula_common.settings import MongoSettings
from aula_devstack.servers.mongo import Mongo
from aula_devstack.testing.tcp_proxy import tcp_proxy


@asynccontextmanager
async def collection_of(
    url: str, *, seconds: float = 2, idle_seconds: float = 60
) -> AsyncIterator[AsyncCollection[Any]]:
    settings = MongoSettings(
        mongo_uri=url,
        mongo_pool_size=5,
        mongo_timeout_seconds=seconds,
        mongo_idle_seconds=idle_seconds,
    )
    client = create_client(settings, application="test")
    try:
        yield database(client, default="aula_test")["things"]
    finally:
        await client.close()


async def write(things: AsyncCollection[Any], number: int) -> int:
    with mongo_errors():
        if number % 2:
            await things.update_one({"_id": number}, {"$set": {"n": number}}, upsert=True)
        else:
            update = {"$set": {"n": number}}
            one = UpdateOne({"_id": number}, update, upsert=True, namespace=things.full_name)
            await things.database.client.bulk_write([one])
        found = await things.find_one({"_id": number})
    assert found is not None
    return int(found["n"])


async def outcomes(things: AsyncCollection[Any], count: int) -> list[object]:
    calls = (write(things, number) for number in range(count))
    return await asyncio.gather(*calls, return_exceptions=True)


def assert_unavailable(results: list[object]) -> None:
    assert {type(result) for result in results} == {UnavailableError}, results


async def test_a_killed_server_is_unavailable_in_bounded_time_and_recovers(
    mongo_server: Mongo,
) -> None:
    async with collection_of(mongo_server.url) as things, asyncio.timeout(60):
        assert await outcomes(things, 10) == list(range(10))
        running = asyncio.create_task(outcomes(things, 50))
        await asyncio.sleep(0)
        mongo_server.kill()
        for result in await running:
            assert isinstance(result, int | UnavailableError), result
        started = time.monotonic()
        assert_unavailable(await outcomes(things, 10))
        assert time.monotonic() - started < 5
        mongo_server.spawn()
        await asyncio.to_thread(mongo_server.wait_ready)
        assert await outcomes(things, 10) == list(range(10))


async def test_a_frozen_server_is_unavailable_in_bounded_time_and_recovers(
    mongo_server: Mongo,
) -> None:
    async with collection_of(mongo_server.url, seconds=0.7) as things, asyncio.timeout(60):
        assert await outcomes(things, 5) == list(range(5))
        mongo_server.suspend()
        try:
            started = time.monotonic()
            assert_unavailable(await outcomes(things, 10))
            assert time.monotonic() - started < 5
        finally:
            mongo_server.resume()
        results: list[object] = []
        while results != list(range(5)):
            results = await outcomes(things, 5)
            assert all(isinstance(result, int | UnavailableError) for result in results), results


async def test_connections_that_were_dropped_while_idle_fail_nothing(mongo_database: str) -> None:
    idle_seconds = 2.0
    with tcp_proxy(mongo_database) as proxy:
        # the driver's monitors are never idle, as they are not where idle is minutes
        options = "directConnection=true&heartbeatFrequencyMS=500"
        url = f"{proxy.through(mongo_database)}?{options}"
        async with collection_of(url, idle_seconds=idle_seconds) as things:
            await things.insert_one({"_id": 1})
            await asyncio.sleep(idle_seconds)
            assert proxy.reset(idle_seconds=idle_seconds * 0.9) > 0
            with mongo_errors():  # a write that the driver never repeats
                changed = await things.update_many({}, {"$set": {"n": 1}})
    assert changed.modified_count == 1


async def test_what_is_wrong_with_the_command_passes_through(mongo_database: str) -> None:
    async with collection_of(mongo_database) as things:
        await things.insert_one({"_id": 1})
        with pytest.raises(DuplicateKeyError), mongo_errors():
            await things.insert_one({"_id": 1})
        with pytest.raises(OperationFailure), mongo_errors():
            await things.update_one({"_id": 1}, {"$nonsense": {"a": 1}})
        again = InsertOne({"_id": 1}, namespace=things.full_name)
        with pytest.raises(ClientBulkWriteException), mongo_errors():
            await things.database.client.bulk_write([again])


@pytest.mark.parametrize("field", ["writeErrors", "writeConcernErrors"])
@pytest.mark.parametrize(("code", "away"), [(11600, True), (64, True), (11000, False)])
def test_a_server_that_ends_amid_many_writes_is_away(field: str, code: int, *, away: bool) -> None:
    details: dict[str, Any] = {"error": None, "writeErrors": [], "writeConcernErrors": []}
    error = ClientBulkWriteException({**details, field: [{"idx": 0, "code": code}]}, verbose=False)
    with pytest.raises(UnavailableError if away else ClientBulkWriteException), mongo_errors():
        raise error


async def test_writes_ask_for_a_majority_and_the_journal(mongo_database: str) -> None:
    async with collection_of(mongo_database) as things:
        assert things.write_concern.document == {"w": "majority", "j": True}


async def test_a_path_in_the_address_names_the_database_and_wins(mongo_database: str) -> None:
    name = mongo_database.rsplit("/", 1)[1]
    async with collection_of(mongo_database) as things:
        assert things.database.name == name
    async with collection_of(mongo_database.removesuffix(name)) as things:
        assert things.database.name == "aula_test"
