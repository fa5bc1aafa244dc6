"""Holds the running observations and ends those that may not go on."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass

from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger
from aula_monitoring.domain.errors import TooManyObservationsError
from aula_monitoring.domain.observation import EndReason, Observation
from aula_monitoring.domain.ports import Conversations, Relationships, TokenCheck
from aula_monitoring.domain.relationship import Relationship
from aula_monitoring.settings import ObservationSettings

_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Running:
    """An observation with its task; `verified_at` is monotonic time."""

    observation: Observation
    verified_at: float
    task: asyncio.Task[EndReason] | None = None
    reason: EndReason | None = None

    def end(self, reason: EndReason) -> None:
        """Stop it, once; its task then tells the observer and the audit why."""
        if self.reason is None and self.task is not None and not self.task.done():
            self.reason = reason
            self.task.cancel()


class ObservationWatch:
    """The observations of this process.

    `check` looks at all of them by one question to the database. One that could not be verified
    for `observation_verify_seconds` is ended: what nobody can vouch for is not shown.
    """

    def __init__(
        self,
        *,
        relationships: Relationships,
        conversations: Conversations,
        tokens: TokenCheck,
        clock: Clock,
        settings: ObservationSettings,
    ) -> None:
        self._relationships = relationships
        self._conversations = conversations
        self._tokens = tokens
        self._clock = clock
        self._settings = settings
        self._running: dict[str, Running] = {}
        self._by_observer: Counter[str] = Counter()
        self._wake = asyncio.Event()

    @property
    def count(self) -> int:
        """How many observations run here."""
        return len(self._running)

    def add(self, observation: Observation) -> Running:
        """Hold an observation that was just permitted.

        TooManyObservationsError if its observer has as many as anybody may, UnavailableError if
        this process has.
        """
        if self.count >= self._settings.max_observations:
            raise UnavailableError("this instance", retry_after=5)
        observer_id = observation.observer.id
        if self._by_observer[observer_id] >= self._settings.max_observations_per_observer:
            raise TooManyObservationsError(self._settings.max_observations_per_observer)
        running = Running(observation, verified_at=self._clock.monotonic())
        self._running[observation.id] = running
        self._by_observer[observer_id] += 1
        return running

    def remove(self, running: Running) -> None:
        """Let go of one that ended."""
        if self._running.pop(running.observation.id, None) is not None:
            observer_id = running.observation.observer.id
            self._by_observer[observer_id] -= 1
            if not self._by_observer[observer_id]:
                del self._by_observer[observer_id]

    def check_soon(self) -> None:
        """A relationship has changed: don't wait for the next round."""
        self._wake.set()

    async def keep_checking(self) -> None:
        """Check for ever, in a task of its own."""
        while True:
            try:
                async with asyncio.timeout(self._settings.observation_check_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.check()
            except Exception:  # noqa: BLE001 - no fault may keep the next round from running
                _log.exception("check of observations failed")

    async def check(self) -> None:
        """End what has lost its token, its relationship, its mode, or anybody to vouch for it."""
        for running in list(self._running.values()):
            observer = running.observation.observer
            if not self._tokens.is_current(observer):
                expired = observer.expires_at <= self._clock.now()
                running.end(EndReason.TOKEN_EXPIRED if expired else EndReason.SIGNED_OUT)
        watched: defaultdict[str, list[Running]] = defaultdict(list)
        for running in self._running.values():
            if (relationship_id := running.observation.permission.relationship_id) is not None:
                watched[relationship_id].append(running)
        if watched:
            await self._check_relationships(watched)

    async def _check_relationships(self, watched: dict[str, list[Running]]) -> None:
        asked_at = self._clock.monotonic()
        try:
            found = await self._relationships.find_many(
                watched.keys(), within=self._settings.observation_check_seconds
            )
        except UnavailableError:
            _log.warning("observations can't be verified", running=self.count)
        else:
            for relationship_id, observations in watched.items():
                for running in observations:
                    running.verified_at = max(asked_at, running.verified_at)
                    self._judge(running, found.get(relationship_id))
        latest = self._clock.monotonic() - self._settings.observation_verify_seconds
        for running in (one for observations in watched.values() for one in observations):
            if running.verified_at < latest:
                running.end(EndReason.UNVERIFIED)

    def _judge(self, running: Running, relationship: Relationship | None) -> None:
        if relationship is None or not relationship.is_active(self._clock.now()):
            running.end(EndReason.RELATIONSHIP_ENDED)
        elif relationship.mode is not running.observation.permission.mode:
            running.end(EndReason.MODE_CHANGED)

    async def renew(self) -> None:
        """Tell chat, in one call, which observations go on. UnavailableError if it is away."""
        if self._running:
            await self._conversations.renew(list(self._running))

    async def drain(self) -> None:
        """End all, telling the observers to come back to another instance; wait for their end."""
        tasks = [running.task for running in self._running.values() if running.task is not None]
        for running in list(self._running.values()):
            running.end(EndReason.DRAIN)
        await asyncio.gather(*tasks, return_exceptions=True)
