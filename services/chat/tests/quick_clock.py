"""A clock that nobody has to wait for."""

import asyncio

from aula_common.testing import ManualClock


class QuickClock(ManualClock):
    """Sleeping advances it."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)
