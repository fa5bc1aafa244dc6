"""Observing a conversation as it happens."""

import asyncio

from prometheus_client import Counter

from aula_common.clock import Clock
from aula_common.errors import NotFoundError, UnavailableError
from aula_common.ids import new_id
from aula_common.security.principal import Principal
from aula_common.tasks import Supervisor
from aula_monitoring.domain.observation import EndReason, Observation, farewell
from aula_monitoring.domain.ports import Conversations
from aula_monitoring.domain.relationship import Mode
from aula_monitoring.services.audit import AuditService
from aula_monitoring.services.channel import Channel
from aula_monitoring.services.permissions import PermissionService
from aula_monitoring.services.relay import Relay
from aula_monitoring.services.watch import ObservationWatch, Running

# whatever still waited for the observer goes out after these, and only these
_HARMLESS = frozenset({EndReason.FINISHED, EndReason.GONE, EndReason.UNAVAILABLE, EndReason.DRAIN})


class ObservationService:
    """Begins observations. Each lives in a task of the process, which also ends it."""

    def __init__(
        self,
        *,
        conversations: Conversations,
        permissions: PermissionService,
        audit: AuditService,
        watch: ObservationWatch,
        supervisor: Supervisor,
        clock: Clock,
        resume_seconds: float,
        ended: Counter,
    ) -> None:
        self._conversations = conversations
        self._permissions = permissions
        self._audit = audit
        self._watch = watch
        self._supervisor = supervisor
        self._clock = clock
        self._resume_seconds = resume_seconds
        self._ended = ended

    async def observe(
        self,
        observer: Principal,
        session_id: str,
        *,
        student_id: str | None,
        follow: bool,
        summary: bool,
        last_event_id: str | None,
    ) -> Channel:
        """The conversation's events for the observer; close the channel when they leave.

        The audit is written before chat is asked. NotFoundError without leave, if the
        conversation is not the named student's, or if nothing runs and `follow` is not asked
        for; UnavailableError if it can't be audited or chat is away.
        """
        permission = await self._permissions.for_session(
            observer, session_id, student_id=student_id
        )
        return await self._begin(
            Observation(
                id=new_id("obs"),
                observer=observer,
                permission=permission,
                session_id=session_id,
                follow=follow,
                last_event_id=last_event_id,
                summary=summary or permission.mode is Mode.SUMMARY,
            )
        )

    async def _begin(self, observation: Observation) -> Channel:
        running = self._watch.add(observation)
        channel = Channel(abandoned=lambda: running.end(EndReason.LEFT))
        relay = Relay(
            observation,
            conversations=self._conversations,
            channel=channel,
            clock=self._clock,
            resume_seconds=self._resume_seconds,
        )
        running.task = task = self._supervisor.spawn(
            self._live(observation, relay), name=f"observe {observation.id}"
        )
        # not in the task itself: one that is cancelled before its first step runs nothing
        task.add_done_callback(lambda _: self._finish(running, task, relay, channel))
        try:
            await asyncio.shield(relay.opened)
        except BaseException:
            running.end(EndReason.LEFT)
            raise
        return channel

    async def _live(self, observation: Observation, relay: Relay) -> EndReason:
        try:
            await self._audit.record_observation(observation)
        except UnavailableError as error:
            relay.opened.set_exception(error)
            return EndReason.NOT_SHOWN
        return await relay.run()

    def _finish(
        self, running: Running, task: asyncio.Task[EndReason], relay: Relay, channel: Channel
    ) -> None:
        if task.cancelled():
            reason = running.reason or EndReason.DRAIN
        else:
            reason = EndReason.UNAVAILABLE if task.exception() else task.result()
        self._watch.remove(running)
        self._audit.observation_ended(running.observation.id, reason)
        self._ended.labels(reason).inc()
        channel.close(farewell(reason), discard=reason not in _HARMLESS)
        if not relay.opened.done():
            relay.opened.set_exception(_unopened(reason))


def _unopened(reason: EndReason) -> Exception:
    """What the observer is told whose observation ended before it showed anything."""
    lost_leave = {EndReason.RELATIONSHIP_ENDED, EndReason.MODE_CHANGED}
    return NotFoundError() if reason in lost_leave else UnavailableError("this instance")
