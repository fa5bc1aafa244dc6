"""Servers of one test's own, for tests that stop, kill or freeze them."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.servers.redis import Redis
from aula_devstack.temporary import temporary_home


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A directory that the account PostgreSQL runs under can enter."""
    with temporary_home("aula-test-") as home:
        yield home


@pytest.fixture
def postgres_server(own_home: Path) -> Iterator[Postgres]:
    """A PostgreSQL server, ready; durable settings."""
    server = Postgres(
        port=Ports().any("postgres"),
        data=own_home / "postgres",
        log_file=own_home / "postgres.log",
        password=secrets.token_urlsafe(12),
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def mongo_server(own_home: Path) -> Iterator[Mongo]:
    """A server that speaks MongoDB's protocol, ready."""
    server = Mongo(
        port=Ports().any("mongo"), data=own_home / "mongo", log_file=own_home / "mongo.log"
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_server(own_home: Path) -> Iterator[Redis]:
    """A Redis server, ready."""
    server = Redis(
        port=Ports().any("redis"),
        data=own_home / "redis",
        log_file=own_home / "redis.log",
        password=secrets.token_urlsafe(12),
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()
