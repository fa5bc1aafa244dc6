"""Puts the service together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aula_common.clock import SystemClock
from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient, create_session
from aula_common.logging import get_logger
from aula_common.metrics import Metrics
from aula_common.mongo import create_client, database
from aula_common.security.access import create_access
from aula_common.security.verifier import TokenVerifier
from aula_common.tasks import Supervisor
from aula_monitoring.clients.accounting import AccountingStreams
from aula_monitoring.clients.auth import AuthPeople
from aula_monitoring.clients.chat import ChatConversations
from aula_monitoring.services.audit import AuditService
from aula_monitoring.services.observations import ObservationService
from aula_monitoring.services.permissions import PermissionService
from aula_monitoring.services.relationships import RelationshipService
from aula_monitoring.services.sessions import SessionService
from aula_monitoring.services.students import StudentService
from aula_monitoring.services.watch import ObservationWatch
from aula_monitoring.settings import Settings
from aula_monitoring.storage.audit import AuditRepository
from aula_monitoring.storage.database import Database
from aula_monitoring.storage.relationships import RelationshipRepository

_log = get_logger(__name__)
_PREPARE_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a process of monitoring holds while it runs."""

    verifier: TokenVerifier
    database: Database
    relationships: RelationshipService
    students: StudentService
    sessions: SessionService
    observations: ObservationService
    watch: ObservationWatch
    audit: AuditService


@asynccontextmanager
async def create_context(settings: Settings, *, metrics: Metrics) -> AsyncIterator[Context]:
    """Connects, starts the background work, ends both. Works from the database's return on."""
    clock = SystemClock()
    supervisor = Supervisor()
    mongo = create_client(settings.mongo, application="aula-monitoring")
    http = create_session()
    try:
        access = create_access(
            "monitoring", settings.tokens, session=http, clock=clock, supervisor=supervisor
        )

        def client(audience: str, base_url: str) -> ServiceClient:
            return ServiceClient(
                audience=audience,
                base_url=base_url,
                session=http,
                clock=clock,
                tokens=access.tokens,
            )

        store = Database(database(mongo, default="aula_monitoring"))
        repository = RelationshipRepository(store)
        people = AuthPeople(client("auth", settings.tokens.auth_api_url))
        streams = AccountingStreams(client("accounting", settings.accounting_api_url))
        limits = settings.observations
        conversations = ChatConversations(
            client("chat", settings.chat_api_url), idle_seconds=limits.observation_idle_seconds
        )
        audit = AuditService(log=AuditRepository(store), clock=clock)
        permissions = PermissionService(
            relationships=repository, conversations=conversations, clock=clock
        )
        watch = ObservationWatch(
            relationships=repository,
            conversations=conversations,
            tokens=access.verifier,
            clock=clock,
            settings=limits,
        )
        metrics.gauge("observations_running", "Observations now.").set_function(lambda: watch.count)
        context = Context(
            verifier=access.verifier,
            database=store,
            relationships=RelationshipService(
                relationships=repository, people=people, clock=clock, changed=watch.check_soon
            ),
            students=StudentService(
                relationships=repository,
                permissions=permissions,
                people=people,
                streams=streams,
                clock=clock,
            ),
            sessions=SessionService(
                conversations=conversations,
                permissions=permissions,
                relationships=repository,
                people=people,
                audit=audit,
                clock=clock,
            ),
            observations=ObservationService(
                conversations=conversations,
                permissions=permissions,
                audit=audit,
                watch=watch,
                supervisor=supervisor,
                clock=clock,
                resume_seconds=limits.observation_resume_seconds,
                ended=metrics.counter("observations_ended", "Observations ended.", ["reason"]),
            ),
            watch=watch,
            audit=audit,
        )
        await _prepare(store, supervisor, clock)
        supervisor.spawn(watch.keep_checking(), name="check observations")
        supervisor.every(limits.observation_renew_seconds, watch.renew, name="renew observations")
        supervisor.spawn(audit.write_ends(), name="write ends of observations")
        yield context
        await watch.drain()
        await audit.flush_ends()
    finally:
        await supervisor.close()
        await http.close()
        await mongo.close()


async def _prepare(store: Database, supervisor: Supervisor, clock: SystemClock) -> None:
    """Make the database ready: at once, or in the background as soon as it answers."""

    async def keep_trying() -> None:
        while True:
            await clock.sleep(_PREPARE_RETRY_SECONDS)
            try:
                await store.prepare()
            except UnavailableError:
                continue
            _log.info("database prepared")
            return

    try:
        await store.prepare()
    except UnavailableError:
        _log.warning("the database is away; starting without it")
        supervisor.spawn(keep_trying(), name="prepare the database")
