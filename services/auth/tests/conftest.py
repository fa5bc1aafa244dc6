"""Fixtures of auth's tests: one application on a database of the test's own."""

from collections.abc import AsyncIterator

import pytest
from auth_builders import Auth, clock_from_now, make_settings, run_auth

from aula_common.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when told."""
    return clock_from_now()


@pytest.fixture
async def auth(mongo_database: str, clock: ManualClock) -> AsyncIterator[Auth]:
    """A running application on an empty database, under the held clock."""
    async with run_auth(make_settings(mongo_database), clock=clock) as running:
        yield running
