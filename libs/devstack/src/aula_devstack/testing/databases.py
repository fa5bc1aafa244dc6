"""Databases of each test's own."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pymongo
import pytest
import redis

from aula_devstack.postgres_databases import create_database, database_url, drop_database


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """`postgresql+asyncpg://…` of a fresh, empty database, dropped afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    create_database(postgres_url, name)
    yield database_url(postgres_url, name, scheme="postgresql+asyncpg")
    drop_database(postgres_url, name)


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """`mongodb://…/<name>` with a name that no other test has, dropped afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    yield urlunsplit(urlsplit(mongo_url)._replace(path=f"/{name}"))
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(name)


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """`redis://…/15`, emptied before the test."""
    url = urlunsplit(urlsplit(redis_server_url)._replace(path="/15"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
