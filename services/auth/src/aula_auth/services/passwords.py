"""Passwords: argon2id, in threads of their own, so that the event loop stays quick."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from passlib.context import CryptContext

from aula_common.errors import RateLimitedError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """What one hash costs: memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the password was right; `new_hash` if the stored one is of an older cost."""

    right: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and verifies.

    `workers` threads do it, and at most `queue` calls wait for them: one more is refused with
    RateLimitedError, because memory and processor are what a flood is after.
    """

    def __init__(self, cost: Argon2Cost, *, workers: int, queue: int) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=cost.memory_kib,
            argon2__time_cost=cost.passes,
            argon2__parallelism=cost.lanes,
        )
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._allowed = workers + queue
        self._running = 0
        # what an unknown user's password is compared with, so that it takes as long
        self._nobodys = str(self._context.hash("nobody has this password"))

    async def hash(self, password: str) -> str:
        """The password's hash."""
        return await self._run(lambda: str(self._context.hash(password)))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Whether the password belongs to the hash; the same work if there is no hash."""
        return await self._run(lambda: self._verify(password, stored))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str | None) -> Verdict:
        right, new_hash = self._context.verify_and_update(password, stored or self._nobodys)
        if stored is None or not right:
            return Verdict(right=False)
        return Verdict(right=True, new_hash=new_hash)

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._running >= self._allowed:
            raise RateLimitedError(retry_after=1, detail="Too many sign-ins at once. Try again.")
        loop = asyncio.get_running_loop()
        self._running += 1
        future = self._pool.submit(work)
        future.add_done_callback(lambda done: self._count_down(loop, done))
        return await asyncio.wrap_future(future)

    def _count_down(self, loop: asyncio.AbstractEventLoop, _done: "Future[Any]") -> None:
        # from the thread: a caller that was cancelled still occupies it until the hash is done
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._freed)

    def _freed(self) -> None:
        self._running -= 1
