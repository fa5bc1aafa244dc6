"""Fixtures of the gateway's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway.gateway_stack import Stack, running_stack


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """The real gateway before four tiny services."""
    async with running_stack(tmp_path) as running:
        yield running
