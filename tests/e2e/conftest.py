"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator

import pytest
from e2e_people import People, people_of

from aula_devstack.platform import Platform


@pytest.fixture
async def people(platform: Platform) -> AsyncIterator[People]:
    """Makes people on the platform."""
    async with people_of(platform) as made:
        yield made
