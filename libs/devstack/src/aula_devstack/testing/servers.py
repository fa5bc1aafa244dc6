"""The servers of one test run: given by the environment, by Docker, or embedded."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from aula_devstack.servers.bedrock import Bedrock
from aula_devstack.servers.mongo import Mongo
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import UNSAFE_BUT_QUICK, Postgres
from aula_devstack.servers.process import Process
from aula_devstack.servers.redis import Redis
from aula_devstack.servers.s3 import S3
from aula_devstack.temporary import temporary_home
from aula_devstack.testing import docker

TEST_PACE_MS = 5


class TestServers:
    """Starts each server when it is first asked for; `close` stops them in reverse order."""

    __test__ = False  # a name that pytest would collect

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._home = self._stack.enter_context(temporary_home("aula-tests-"))
        self._ports = Ports()
        self._password = secrets.token_urlsafe(12)
        self._urls: dict[str, str] = {}

    def close(self) -> None:
        """Stop what was started and remove its data."""
        self._stack.close()

    def postgres(self) -> str:
        """`postgresql://…/postgres` of a superuser."""
        return self._url("TEST_POSTGRES_URL", docker.postgres, self._embedded_postgres)

    def mongo(self) -> str:
        """`mongodb://…/`."""
        return self._url("TEST_MONGO_URI", docker.mongo, self._embedded_mongo)

    def redis(self) -> str:
        """`redis://…/0`."""
        return self._url("TEST_REDIS_URL", docker.redis, self._embedded_redis)

    def s3(self) -> str:
        """The S3 endpoint; it takes any credentials when it is the embedded one."""
        return self._url("TEST_S3_URL", None, self._embedded_s3)

    def bedrock(self) -> str:
        """The local Bedrock endpoint."""
        return self._url("TEST_BEDROCK_URL", None, self._embedded_bedrock)

    def _url(
        self,
        variable: str,
        container: Callable[[ExitStack], str] | None,
        embedded: Callable[[], Process],
    ) -> str:
        if variable not in self._urls:
            given = os.environ.get(variable)
            if given:
                self._urls[variable] = given
            elif container is not None and docker.engine_answers():
                self._urls[variable] = container(self._stack)
            else:
                process = embedded()
                self._stack.callback(process.stop)
                process.start()
                self._urls[variable] = process.url
        return self._urls[variable]

    def _embedded_postgres(self) -> Process:
        return Postgres(
            port=self._ports.any("postgres"),
            data=self._home / "postgres",
            log_file=self._home / "postgres.log",
            password=self._password,
            settings=UNSAFE_BUT_QUICK,
        )

    def _embedded_mongo(self) -> Process:
        return Mongo(
            port=self._ports.any("mongo"),
            data=self._home / "mongo",
            log_file=self._home / "mongo.log",
        )

    def _embedded_redis(self) -> Process:
        return Redis(
            port=self._ports.any("redis"),
            data=self._home / "redis",
            log_file=self._home / "redis.log",
            password=self._password,
        )

    def _embedded_s3(self) -> Process:
        return S3(name="s3", port=self._ports.any("s3"), log_file=self._home / "s3.log")

    def _embedded_bedrock(self) -> Process:
        return Bedrock(
            port=self._ports.any("bedrock"),
            log_file=self._home / "bedrock.log",
            pace_ms=TEST_PACE_MS,
        )


@pytest.fixture(scope="session")
def test_servers() -> Iterator[TestServers]:
    """The servers of this run."""
    servers = TestServers()
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture(scope="session")
def postgres_url(test_servers: TestServers) -> str:
    """`postgresql://…` of a superuser, who may create databases."""
    return test_servers.postgres()


@pytest.fixture(scope="session")
def mongo_url(test_servers: TestServers) -> str:
    """`mongodb://…` without a database."""
    return test_servers.mongo()


@pytest.fixture(scope="session")
def redis_server_url(test_servers: TestServers) -> str:
    """`redis://…`; tests take `redis_url`, which is emptied for each."""
    return test_servers.redis()


@pytest.fixture(scope="session")
def s3_url(test_servers: TestServers) -> str:
    """`http://…` of the S3 endpoint."""
    return test_servers.s3()


@pytest.fixture(scope="session")
def bedrock_url(test_servers: TestServers) -> str:
    """`http://…` of the local Bedrock endpoint, 5 ms between two pieces of an answer."""
    return test_servers.bedrock()
