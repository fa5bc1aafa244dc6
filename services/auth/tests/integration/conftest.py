"""The real database, its indexes made."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from aula_auth.storage.database import Database, prepare
from aula_common.mongo import create_client
from aula_common.mongo import database as open_database
from aula_common.settings import MongoSettings


@pytest.fixture
async def database(mongo_database: str) -> AsyncIterator[Database]:
    """An empty database of this test's own."""
    client = create_client(MongoSettings(mongo_uri=SecretStr(mongo_database)), application="test")
    opened = open_database(client, default="unused")
    await prepare(opened)
    yield opened
    await client.close()
