"""The repositories on a database of each test's own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.asynchronous.database import AsyncDatabase

from aula_chat.storage.database import ensure_indexes
from aula_common.mongo import create_client, database
from aula_common.settings import MongoSettings


@pytest.fixture
async def store(mongo_database: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """The collections with their indexes."""
    settings = MongoSettings(mongo_uri=SecretStr(mongo_database))
    async with create_client(settings, application="test") as client:
        opened = database(client, default="unused")
        await ensure_indexes(opened)
        yield opened
