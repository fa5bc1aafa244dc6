"""Puts the chat service together: the one place that knows which part uses which."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from pymongo.asynchronous.database import AsyncDatabase

from aula_chat.clients.accounting import AccountingClient
from aula_chat.clients.bedrock import BedrockModel
from aula_chat.clients.failpoints import FailingAccounts, FailingModel
from aula_chat.clients.traced_model import TracedModel
from aula_chat.domain.language_models import LanguageModel
from aula_chat.domain.ports import CreditAccounts
from aula_chat.services.audience import Audience
from aula_chat.services.conclusions import Conclusions
from aula_chat.services.fences import Fences
from aula_chat.services.followers import LogFollowers
from aula_chat.services.generation import Generator
from aula_chat.services.handover import Handover
from aula_chat.services.leases import Leases
from aula_chat.services.live_streams import LiveStreams
from aula_chat.services.log_health import LogHealth
from aula_chat.services.log_writer import LogWriter
from aula_chat.services.messages import Messages
from aula_chat.services.models import Models
from aula_chat.services.observations import Observations
from aula_chat.services.readers import Readers
from aula_chat.services.recoveries import Recoveries
from aula_chat.services.sessions import Sessions
from aula_chat.services.settlements import Settlements
from aula_chat.services.streams import Streams
from aula_chat.services.subjects import Subjects
from aula_chat.services.traced_streams import TracedGenerator, TracedStreams
from aula_chat.services.unsettled import UnsettledIntents
from aula_chat.services.upcoming import Upcoming
from aula_chat.settings import Settings
from aula_chat.storage.database import Document, ensure_indexes, require_version
from aula_chat.storage.erasures import ErasureRepository
from aula_chat.storage.messages import MessageRepository
from aula_chat.storage.observations import ObservationRepository
from aula_chat.storage.observers import ObserverRepository
from aula_chat.storage.sessions import SessionRepository
from aula_chat.storage.stream_log import RedisStreamLog
from aula_chat.storage.streams import StreamRepository
from aula_chat.storage.turns import TurnRepository
from aula_common.clock import Clock, SystemClock
from aula_common.errors import UnavailableError
from aula_common.failpoints import ArmedFailpoints
from aula_common.http import ServiceClient, create_session
from aula_common.ids import new_id
from aula_common.logging import get_logger
from aula_common.metrics import Metrics
from aula_common.mongo import create_client, database, mongo_errors
from aula_common.redis import create_redis
from aula_common.security.access import create_access
from aula_common.security.verifier import TokenVerifier
from aula_common.tasks import Supervisor
from aula_common.traces import tracing

_log = get_logger(__name__)
_APPLICATION = "aula-chat"
_LOG_SPARE_SECONDS = 300  # a log outlives the longest stream by so much
_RELAY_SECONDS = 2
_LOOK_SECONDS = 5
_AUDIENCE_SECONDS = 0.5
_UPCOMING_SECONDS = 0.5
_ERASURE_SECONDS = 5
_CLOSE_SECONDS = 3  # at the end of the process, for background work to be cancelled
_START_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The services of one process, as the endpoints use them."""

    settings: Settings
    verifier: TokenVerifier
    sessions: Sessions
    messages: Messages
    streams: Streams
    readers: Readers
    models: Models
    observations: Observations
    subjects: Subjects
    handover: Handover
    check_ready: Callable[[], Awaitable[None]]


@asynccontextmanager
async def create_process(settings: Settings, metrics: Metrics) -> AsyncIterator[Process]:
    """Everything that one process of the service needs, closed at the end of the block.

    Entering waits for the database: the claim on a session rests on one of its indexes.
    """
    clock = SystemClock()
    durations = settings.streams
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(create_session())
        mongo = await stack.enter_async_context(
            create_client(settings.mongo, application=_APPLICATION)
        )
        redis = await stack.enter_async_context(
            aclosing(create_redis(settings.redis, application=_APPLICATION))
        )
        log_redis = await stack.enter_async_context(
            aclosing(create_redis(settings.redis, application=_APPLICATION, bounded=False))
        )
        model = await stack.enter_async_context(_create_model(settings, clock))
        supervisor = Supervisor()
        stack.push_async_callback(supervisor.close, _CLOSE_SECONDS)
        access = create_access(
            "chat", settings.tokens, session=http, clock=clock, supervisor=supervisor
        )
        # two, so that reports that all fail open no circuit before what a stream needs
        to_accounting, to_accounting_for_reports = (
            ServiceClient(
                audience="accounting",
                base_url=settings.accounting_api_url,
                session=http,
                clock=clock,
                tokens=access.tokens,
            )
            for _ in range(2)
        )
        accounts = _create_accounts(settings, to_accounting, reports=to_accounting_for_reports)

        store = database(mongo, default="aula_chat")
        await _prepare(store, clock)
        session_store = SessionRepository(store["sessions"])
        message_store = MessageRepository(store["messages"])
        stream_store = StreamRepository(store["streams"])
        turn_store = TurnRepository(store)
        erasure_store = ErasureRepository(store["erasures"])
        log = RedisStreamLog(log_redis)
        log_ttl = int(durations.max_streaming_duration) + _LOG_SPARE_SECONDS
        owner = new_id("own")

        live = LiveStreams(
            capacity=durations.max_streams_per_process,
            replay_seconds=durations.replay_seconds,
            running=metrics.gauge(
                "streams_running", "Streams that this process generates or begins."
            ),
        )
        fences = Fences(
            metrics.counter(
                "fences_lost",
                "Streams lost to another process, by where it was noticed.",
                ["where"],
            )
        )
        leases = Leases(
            stream_store,
            clock=clock,
            seconds=durations.stream_lease_seconds,
            checkpoint_every=durations.checkpoint_seconds,
            fences=fences,
        )
        writer = LogWriter(
            log,
            renew=leases.renew,
            supervisor=supervisor,
            health=LogHealth(clock=clock, metrics=metrics),
            fences=fences,
            clock=clock,
            ttl_seconds=log_ttl,
        )
        settlements = Settlements(
            accounts=accounts,
            streams=stream_store,
            messages=message_store,
        )
        conclusions = Conclusions(
            streams=stream_store,
            messages=message_store,
            turns=turn_store,
            settlements=settlements,
            clock=clock,
            lease_seconds=durations.stream_lease_seconds,
        )
        recoveries = Recoveries(
            streams=stream_store,
            log=log,
            conclusions=conclusions,
            clock=clock,
            owner=owner,
            lease_seconds=durations.stream_lease_seconds,
            log_patience=durations.recovery_log_patience,
            log_ttl_seconds=log_ttl,
            grace=durations.checkpoint_seconds,
            runs_here=live.runs,
            recovered=metrics.counter("streams_recovered", "Streams ended for a dead process."),
            fences=fences,
        )
        readers = Readers(
            buffer_bytes=durations.reader_buffer_bytes,
            reading=metrics.gauge("readers", "Readers that follow a stream here.", ["kind"]),
            cut=metrics.counter(
                "readers_cut", "Readers ended here before their stream.", ["reason"]
            ),
        )
        audience = Audience(ObserverRepository(redis), clock=clock)
        followers = LogFollowers(log, stream_store, clock=clock)
        generator = (TracedGenerator if tracing() else Generator)(
            model=model,
            accounts=accounts,
            conclusions=conclusions,
            writer=writer,
            fences=fences,
            clock=clock,
            max_duration=durations.max_streaming_duration,
            progress_every=durations.progress_seconds,
        )
        streams = (TracedStreams if tracing() else Streams)(
            turns=turn_store,
            streams=stream_store,
            accounts=accounts,
            log=log,
            live=live,
            leases=leases,
            generator=generator,
            conclusions=conclusions,
            recoveries=recoveries,
            followers=followers,
            readers=readers,
            audience=audience,
            fences=fences,
            supervisor=supervisor,
            clock=clock,
            owner=owner,
            replay_seconds=durations.replay_seconds,
        )
        sessions = Sessions(
            sessions=session_store,
            messages=message_store,
            streams=stream_store,
            erasures=erasure_store,
            log=log,
            clock=clock,
            owner=owner,
            lease_seconds=durations.stream_lease_seconds,
        )
        subjects = Subjects(
            erasures=erasure_store,
            stored_sessions=session_store,
            messages=message_store,
            sessions=sessions,
            streams=streams,
            clock=clock,
        )

        upcoming = Upcoming(streams=stream_store, sessions=session_store, clock=clock)
        observations = Observations(
            sessions=session_store,
            messages=message_store,
            stored_streams=stream_store,
            renewals=ObservationRepository(redis),
            streams=streams,
            upcoming=upcoming,
            readers=readers,
            audience=audience,
            clock=clock,
            lifetime=durations.observation_seconds,
        )

        supervisor.spawn(writer.run(), name="write logs")
        supervisor.spawn(followers.run(), name="follow logs")
        for seconds, work, name in (
            (leases.look_every, lambda: leases.look(live.running()), "renew leases"),
            (durations.recovery_seconds, recoveries.sweep, "recover streams"),
            (_RELAY_SECONDS, settlements.relay, "settle late"),
            (
                _LOOK_SECONDS,
                UnsettledIntents(streams=stream_store, clock=clock, metrics=metrics).look,
                "count what is unsettled",
            ),
            (_AUDIENCE_SECONDS, audience.look, "count observers"),
            (_UPCOMING_SECONDS, upcoming.look, "look for observers' next streams"),
            (_ERASURE_SECONDS, subjects.sweep, "carry on with erasures"),
        ):
            supervisor.every(seconds, work, name=name)

        handover = Handover(
            streams=stream_store,
            live=live,
            recoveries=recoveries,
            send_away=(followers.send_away, upcoming.drain),
            owner=owner,
            deadline=settings.drain_deadline,
        )

        async def check_ready() -> None:
            with mongo_errors():
                await store.command("ping")

        yield Process(
            settings=settings,
            verifier=access.verifier,
            sessions=sessions,
            messages=Messages(messages=message_store, sessions=sessions, streams=streams),
            streams=streams,
            readers=readers,
            models=Models(accounts=accounts, clock=clock),
            observations=observations,
            subjects=subjects,
            handover=handover,
            check_ready=check_ready,
        )
        await handover.finish()


async def _prepare(store: AsyncDatabase[Document], clock: Clock) -> None:
    while True:
        try:
            await require_version(store)
            await ensure_indexes(store)
        except UnavailableError:
            _log.warning("waiting for the database")
            await clock.sleep(_START_RETRY_SECONDS)
        else:
            return


@asynccontextmanager
async def _create_model(settings: Settings, clock: Clock) -> AsyncIterator[LanguageModel]:
    secret, token = settings.aws.aws_secret_access_key, settings.aws.aws_session_token
    async with BedrockModel(
        region=settings.aws.aws_region,
        clock=clock,
        access_key_id=settings.aws.aws_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        session_token=token.get_secret_value() if token else None,
        first_text_timeout=settings.streams.provider_first_text_seconds,
        idle_timeout=settings.streams.provider_idle_seconds,
        delta_every=settings.streams.chunk_seconds,
    ) as bedrock:
        model: LanguageModel = bedrock
        if tracing():
            model = TracedModel(model, provider="aws.bedrock")
        if settings.aula_failpoints is not None:
            model = FailingModel(model, ArmedFailpoints(settings.aula_failpoints))
        yield model


def _create_accounts(
    settings: Settings, client: ServiceClient, *, reports: ServiceClient
) -> CreditAccounts:
    accounts = AccountingClient(client, reports=reports)
    if settings.aula_failpoints is None:
        return accounts
    return FailingAccounts(accounts, ArmedFailpoints(settings.aula_failpoints))
