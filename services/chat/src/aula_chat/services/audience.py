"""How many observe a session, told to the student's own readers: it is no secret.

An observer may sit at another replica than the student. Each process tells Redis who observes here,
and asks it how many do anywhere, for the sessions that it has readers of: at the next look when
somebody here comes or goes, and every `period` seconds, in which news of other replicas arrive. No
stream waits for that, and nothing of it is kept: a count that can't be asked for stays as it was.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aula_chat.domain.observers import Watching
from aula_chat.services.stream_view import StreamView
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

if TYPE_CHECKING:
    from aula_chat.storage.observers import ObserverRepository

_log = get_logger(__name__)


class _Session:
    """What a process has to do with a session: its observers here, and the views of own readers."""

    def __init__(self) -> None:
        self.observers: Counter[str] = Counter()  # an observer who comes back may be here twice
        self.gone: set[str] = set()  # whoever has come back is told after, so counts
        self.views: Counter[StreamView] = Counter()
        self.looked_at = float("-inf")

    @property
    def unused(self) -> bool:
        """Whether nothing of it is left to tell or to ask."""
        return not self.observers and not self.gone and not self.views


class Audience:
    """One for each process; an observer whose process has died is counted for 3 periods more."""

    def __init__(self, observers: "ObserverRepository", *, clock: Clock, period: float = 5) -> None:
        self._observers = observers
        self._clock = clock
        self._period = period
        self._sessions: dict[str, _Session] = {}

    @contextmanager
    def observing(self, session_id: str, observation_id: str) -> Iterator[None]:
        """Count an observer inside the block."""
        session = self._of(session_id)
        session.observers[observation_id] += 1
        try:
            yield
        finally:
            session.observers[observation_id] -= 1
            if not session.observers[observation_id]:
                del session.observers[observation_id]
                session.gone.add(observation_id)
            self._of(session_id)

    @contextmanager
    def told(self, session_id: str, view: StreamView) -> Iterator[None]:
        """Tell this view's readers inside the block."""
        session = self._of(session_id)
        session.views[view] += 1
        try:
            yield
        finally:
            session.views[view] -= 1
            if not session.views[view]:
                del session.views[view]
                view.count_observers(0)  # nobody hears it, and the next to come hears the news

    async def look(self) -> None:
        """Tell and ask about the sessions whose time has come, in one round trip."""
        now = self._clock.monotonic()
        due = {
            session_id: session
            for session_id, session in self._sessions.items()
            if now - session.looked_at >= self._period
        }
        if not due:
            return
        watching = {
            session_id: Watching(tuple(session.observers), tuple(session.gone))
            for session_id, session in due.items()
        }
        for session in due.values():
            session.looked_at = now
        try:
            counts = await self._observers.count(watching, ttl_seconds=3 * self._period)
        except UnavailableError:
            _log.info("observers not counted", sessions=len(due))
            return
        for session_id, session in due.items():
            session.gone.difference_update(watching[session_id].gone)
            for view in session.views:
                view.count_observers(counts[session_id])
            if session.unused:
                del self._sessions[session_id]

    def _of(self, session_id: str) -> _Session:
        """The session, to be looked at soon."""
        session = self._sessions.setdefault(session_id, _Session())
        session.looked_at = float("-inf")
        return session
