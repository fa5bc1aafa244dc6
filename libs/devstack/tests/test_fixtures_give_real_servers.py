"""What the fixtures promise to the tests of the whole repository."""

import asyncpg
import pymongo
import redis.asyncio
from aiobotocore.session import get_session

from aula_devstack.postgres_databases import drop_database


async def test_each_test_gets_an_empty_postgres_database(postgres_database: str) -> None:
    assert postgres_database.startswith("postgresql+asyncpg://")
    connection = await asyncpg.connect(postgres_database.replace("+asyncpg", ""))
    try:
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        await connection.execute("CREATE TABLE left_behind (id int)")
        name = await connection.fetchval("SELECT current_database()")
    finally:
        await connection.close()
    assert tables == 0
    assert name.startswith("test_")


async def test_an_open_connection_does_not_keep_the_database_from_being_dropped(
    postgres_database: str, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_database.replace("+asyncpg", ""))
    name = await connection.fetchval("SELECT current_database()")
    drop_database(postgres_url, name)
    server = await asyncpg.connect(postgres_url)
    try:
        left = await server.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
    finally:
        await server.close()
        connection.terminate()
    assert left == 0


async def test_mongo_has_transactions_and_a_database_of_the_test_s_own(mongo_database: str) -> None:
    async with pymongo.AsyncMongoClient[dict[str, object]](mongo_database) as client:
        things = client.get_default_database()["things"]
        assert await things.count_documents({}) == 0
        async with client.start_session() as session, await session.start_transaction():
            await things.insert_one({"n": 1}, session=session)
            await session.abort_transaction()
        assert await things.count_documents({}) == 0
        await things.insert_one({"n": 2})
        assert await things.count_documents({}) == 1


async def test_redis_is_empty_and_takes_streams(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.xadd("log", {"event": "one"}, id="1-0")
        assert await client.xlen("log") == 1


async def test_redis_is_empty_again(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_s3_keeps_what_is_put(s3_url: str) -> None:
    async with get_session().create_client(
        "s3",
        endpoint_url=s3_url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ) as s3:
        await s3.create_bucket(
            Bucket="files", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        await s3.put_object(Bucket="files", Key="a.txt", Body=b"hello")
        stored = await s3.get_object(Bucket="files", Key="a.txt")
        assert await stored["Body"].read() == b"hello"
