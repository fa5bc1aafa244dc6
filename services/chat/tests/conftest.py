"""Chat on real servers: accounting as a process, the rest in the test's own loop."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chat_builders import Chat, Surroundings, run_chat
from signing_authority import signing_authority

from aula_common.testing import TokenMint
from aula_devstack.postgres_databases import create_database, database_url, drop_database
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.service import Service

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"


@pytest.fixture(scope="session")
def mint() -> TokenMint:
    """Who signs every token of this run."""
    return TokenMint()


@pytest.fixture(scope="session")
def auth_url(mint: TokenMint) -> Iterator[str]:
    """Where the mint's key is published."""
    with signing_authority(mint) as url:
        yield url


@pytest.fixture(scope="session")
def accounting(
    auth_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Accounting as a process on a database of this run's own; a test that stops it starts it."""
    name = f"chat_{secrets.token_hex(6)}"
    create_database(postgres_url, name)
    log_file: Path = tmp_path_factory.mktemp("accounting") / "accounting.log"
    service = Service(
        service="accounting",
        name="accounting",
        port=Ports().any("accounting"),
        log_file=log_file,
        environment={
            "AULA_ENV": "development",
            "AUTH_API_URL": auth_url,
            "DATABASE_URL": database_url(postgres_url, name, scheme="postgresql+asyncpg"),
        },
    )
    try:
        service.run_command("migrate")
        service.start()
        yield service
    finally:
        service.stop()
        drop_database(postgres_url, name)


@pytest.fixture
def around(
    monkeypatch: pytest.MonkeyPatch,
    mint: TokenMint,
    auth_url: str,
    accounting: Service,
    mongo_database: str,
    redis_url: str,
    bedrock_url: str,
) -> Surroundings:
    """Everything that a chat process needs; its databases are this test's own."""
    monkeypatch.setenv(ENDPOINT_VARIABLE, bedrock_url)
    return Surroundings(
        mint=mint,
        auth_url=auth_url,
        accounting_url=accounting.url,
        mongo_uri=mongo_database,
        redis_url=redis_url,
    )


@pytest.fixture
async def chat(around: Surroundings) -> AsyncIterator[Chat]:
    """A running chat process, quick to look for streams of dead ones."""
    async with run_chat(around, recovery_seconds=0.2) as running:
        yield running


@pytest.fixture
async def impatient_chat(around: Surroundings) -> AsyncIterator[Chat]:
    """A chat process that soon loses patience with its provider."""
    async with run_chat(around, provider_idle_seconds=0.5, max_streaming_duration=2) as running:
        yield running
