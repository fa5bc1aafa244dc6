"""Waiting for what happens, bounded."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 10  # seconds that a test waits for anything


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if holds():
                return
            await asyncio.sleep(0.001)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds; for what has to be asked for."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)
