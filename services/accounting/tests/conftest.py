"""Accounting on real PostgreSQL, for each test anew."""

from collections.abc import AsyncIterator

import pytest
from accounting_builders import Api, Bank, open_api, open_bank


@pytest.fixture
async def bank(postgres_database: str) -> AsyncIterator[Bank]:
    """The services on an empty database, with a held clock."""
    async with open_bank(postgres_database) as opened:
        yield opened


@pytest.fixture
async def api(postgres_database: str) -> AsyncIterator[Api]:
    """The application on an empty database."""
    async with open_api(postgres_database) as opened:
        yield opened
