"""Fixtures of monitoring's API tests."""

from collections.abc import AsyncIterator

import pytest
from monitoring_platform import Platform, running_platform


@pytest.fixture
async def platform(mongo_database: str) -> AsyncIterator[Platform]:
    """Monitoring, its database, and the services that it asks."""
    async with running_platform(mongo_database) as running:
        yield running
