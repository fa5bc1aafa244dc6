"""Concurrent operations on streams share a transaction; a single one is a list of one."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from datetime import timedelta
from typing import Any
from zlib import crc32

from prometheus_client import Histogram

from aula_accounting.domain.errors import AnswerLostError, ContendedError
from aula_accounting.domain.ports import StreamingBatches
from aula_accounting.domain.streaming import StreamingOperation, StreamingOutcome
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

_log = get_logger(__name__)

_PATIENT_AT_ONCE = 4
_FULL = "accounting's queue"
_DATABASE = "the database"


class _Member:
    """One operation and whoever waits for what becomes of it."""

    __slots__ = ("answer", "operation", "since")

    def __init__(
        self, operation: StreamingOperation, answer: asyncio.Future[StreamingOutcome], since: float
    ) -> None:
        self.operation = operation
        self.answer = answer
        self.since = since


class _Lane:
    """What waits for one worker."""

    __slots__ = ("members", "working")

    def __init__(self) -> None:
        self.members: deque[_Member] = deque()
        self.working = False

    def take(self, largest: int, *, answering: int) -> list[_Member]:
        """The next list, while so many of the last one are being answered.

        Those come back. If a list took all who wait, almost everybody would soon be in the same
        one, and the database would be idle while this process answers them and reads what they ask
        next. So it takes at most half of them all: of two halves one is there, the other here.
        """
        waiting = len(self.members)
        fair = (answering + waiting + 1) // 2 if answering else waiting
        return [self.members.popleft() for _ in range(min(largest, fair, waiting))]


class GroupCommit:
    """Gathers what is asked at the same time, runs it as one list, answers after its commit.

    A user's operations share a lane, and each lane has one worker: its next list is of those that
    came while the last one ran, and runs while that one is answered. Who leaves stops nothing. An
    account that another transaction has locked is waited for beside the lane, and so is each member
    of a list that failed, singly: a member's failure is its own. An answer that was lost is asked
    for again, since repeating an operation changes nothing.
    """

    def __init__(
        self,
        *,
        batches: StreamingBatches,
        clock: Clock,
        lease: timedelta,
        running_limit: int,
        lanes: int,
        largest: int,
        queue_limit: int,
        patience: float,
        sizes: Histogram,
    ) -> None:
        """`largest` members run at once in a lane; `queue_limit` may wait in all.

        Who has waited for `patience` seconds is not run any more.
        """
        self._batches = batches
        self._clock = clock
        self._lease = lease
        self._running_limit = running_limit
        self._largest = largest
        self._queue_limit = queue_limit
        self._patience = patience
        self._sizes = sizes
        self._lanes = [_Lane() for _ in range(lanes)]
        self._patient = asyncio.Semaphore(_PATIENT_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unanswered = 0

    async def submit(self, operation: StreamingOperation) -> StreamingOutcome:
        """What became of the operation, after its commit.

        UnavailableError if the queue is full, or if the database is away, overloaded or too slow:
        repeat the request then.
        """
        if self._unanswered >= self._queue_limit:
            raise UnavailableError(_FULL, retry_after=1)
        loop = asyncio.get_running_loop()
        member = _Member(operation, loop.create_future(), loop.time())
        lane = self._lanes[crc32(operation.user_id.encode()) % len(self._lanes)]
        lane.members.append(member)
        self._unanswered += 1
        if not lane.working:
            lane.working = True
            self._spawn(self._work(lane))
        return await member.answer

    async def close(self) -> None:
        """Return when everything that was submitted is answered."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="group commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, lane: _Lane) -> None:
        try:
            await asyncio.sleep(0)  # what arrived at the same moment joins
            last = 0
            while lane.members:
                members = lane.take(self._largest, answering=last)
                last = len(members)
                await self._run(members, patient=False)
        finally:
            lane.working = False
            self._fail(lane.members, UnavailableError(_DATABASE))  # cancelled: nobody runs them
            lane.members.clear()

    async def _run(self, members: Sequence[_Member], *, patient: bool) -> None:
        """Run the members as one list and answer each, or have it answered beside the lane."""
        members = self._still_worth_it(members)
        if not members:
            return
        try:
            outcomes = await self._apply(members, patient=patient)
        except UnavailableError as error:
            if isinstance(error, ContendedError) and not patient:
                self._run_singly(members)
            else:
                self._fail(members, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, the neighbours go on
            if patient and len(members) == 1:
                self._fail(members, error)
                return
            _log.warning("a list failed; its members are run singly", exc_info=error)
            self._run_singly(members)
        except BaseException:
            self._fail(members, UnavailableError(_DATABASE))
            raise
        else:
            # soon, not now: what the answers cost is spent while the next list runs
            asyncio.get_running_loop().call_soon(self._answer, members, outcomes)

    async def _apply(
        self, members: Sequence[_Member], *, patient: bool
    ) -> Sequence[StreamingOutcome | None]:
        operations = [member.operation for member in members]
        self._sizes.observe(len(operations))
        for attempt in (1, 2):
            try:
                return await self._batches.apply(
                    operations,
                    at=self._clock.now(),
                    lease=self._lease,
                    running_limit=self._running_limit,
                    patient=patient,
                )
            except AnswerLostError:
                if attempt == 2:  # noqa: PLR2004 - the last
                    raise
                _log.warning("an answer was lost; the list is run again", members=len(members))
        raise AssertionError  # the second attempt returns or raises

    def _answer(
        self, members: Sequence[_Member], outcomes: Sequence[StreamingOutcome | None]
    ) -> None:
        busy: dict[str, list[_Member]] = {}
        for member, outcome in zip(members, outcomes, strict=True):
            if outcome is None:
                busy.setdefault(member.operation.user_id, []).append(member)
                continue
            self._unanswered -= 1
            if not member.answer.done():  # its caller has left
                member.answer.set_result(outcome)
        for waiting in busy.values():
            self._spawn(self._wait_and_run(waiting))

    def _run_singly(self, members: Iterable[_Member]) -> None:
        for member in members:
            self._spawn(self._wait_and_run([member]))

    async def _wait_and_run(self, members: Sequence[_Member]) -> None:
        async with self._patient:
            await self._run(members, patient=True)

    def _still_worth_it(self, members: Sequence[_Member]) -> Sequence[_Member]:
        oldest = asyncio.get_running_loop().time() - self._patience
        if members[0].since > oldest:  # the first of a list has waited longest
            return members
        late = [member for member in members if member.since <= oldest]
        self._fail(late, ContendedError())
        return [member for member in members if member.since > oldest]

    def _fail(self, members: Iterable[_Member], error: Exception) -> None:
        for member in members:
            self._unanswered -= 1
            if not member.answer.done():
                member.answer.set_exception(_own(error))


def _own(error: Exception) -> Exception:
    """An error for one member alone: raised at several places, one object mixes their traces."""
    if not isinstance(error, UnavailableError):
        return error
    mine = UnavailableError(error.dependency, retry_after=error.extra["retryAfter"])
    mine.__cause__ = error
    return mine
