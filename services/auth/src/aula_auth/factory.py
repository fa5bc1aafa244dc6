"""The composition root: builds the services on a database, for the application and the commands."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aula_auth.domain.attempt import Limit
from aula_auth.domain.family import Lifetimes
from aula_auth.domain.refresh_token import RefreshTokens
from aula_auth.domain.service_client import ServiceClient
from aula_auth.services.attempts import AttemptGuard, AttemptLimits
from aula_auth.services.audit import Audit
from aula_auth.services.login import Login
from aula_auth.services.oauth import OAuth
from aula_auth.services.passwords import Argon2Cost, Passwords
from aula_auth.services.profile import Profile
from aula_auth.services.registration import Registration
from aula_auth.services.revocations import OwnTokenVerifier, Revocations
from aula_auth.services.service_clients import ServiceClients
from aula_auth.services.sessions import Sessions
from aula_auth.services.signing import KeyRingSigner, SharedSecretSigner, Signer
from aula_auth.services.tokens import AccessTokens
from aula_auth.services.users import Users
from aula_auth.settings import Settings
from aula_auth.storage.attempts import AttemptRepository
from aula_auth.storage.audit import AuditRepository
from aula_auth.storage.database import Database, prepare, require_answer
from aula_auth.storage.families import FamilyRepository
from aula_auth.storage.keyring import KeyRingRepository
from aula_auth.storage.revocations import RevocationRepository
from aula_auth.storage.users import UserRepository
from aula_common.clock import Clock
from aula_common.mongo import create_client, database
from aula_common.security.verifier import TokenVerifier
from aula_common.tasks import Supervisor

_SLACK = timedelta(minutes=1)  # clocks that differ, a verifier's leeway
_KEY_OVERLAP = timedelta(minutes=10)  # a process that signs with the key of before a rotation
_KEY_REFRESH_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The services of one process."""

    login: Login
    sessions: Sessions
    registration: Registration
    profile: Profile
    users: Users
    oauth: OAuth
    revocations: Revocations
    audit: Audit
    signer: Signer
    verifier: OwnTokenVerifier
    require_ready: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_context(settings: Settings, *, clock: Clock) -> AsyncIterator[Context]:
    """The services on the configured database, its indexes and keys made ready.

    UnavailableError if the database is away; KeyRingUnreadableError.
    """
    client = create_client(settings.mongo, application="aula-auth")
    passwords = Passwords(
        Argon2Cost(
            memory_kib=settings.argon2_memory_kib,
            passes=settings.argon2_passes,
            lanes=settings.argon2_lanes,
        ),
        workers=settings.argon2_workers,
        queue=settings.argon2_queue,
    )
    supervisor = Supervisor()
    try:
        store = database(client, default="aula_auth")
        await prepare(store)
        audit = Audit(AuditRepository(store, keep=timedelta(days=settings.audit_days)), clock=clock)
        signer = await _open_signer(settings, store, audit=audit, clock=clock)
        if isinstance(signer, KeyRingSigner):
            supervisor.every(_KEY_REFRESH_SECONDS, signer.refresh, name="refresh signing keys")
        yield _build(settings, store, passwords=passwords, signer=signer, audit=audit, clock=clock)
    finally:
        await supervisor.close()
        passwords.close()
        await client.close()


async def _open_signer(
    settings: Settings, store: Database, *, audit: Audit, clock: Clock
) -> Signer:
    if (shared := settings.tokens.jwt_access_secret) is not None:
        return SharedSecretSigner(shared)
    assert settings.signing_keys_secret is not None  # noqa: S101 - Settings require one of the two
    secret = settings.signing_keys_secret.get_secret_value().encode()
    signer = KeyRingSigner(
        KeyRingRepository(store, secret=secret),
        audit=audit,
        clock=clock,
        lifetime=timedelta(days=settings.signing_key_days),
        overlap=settings.access_token_lifetime + _KEY_OVERLAP,
    )
    await signer.refresh()
    return signer


def _build(
    settings: Settings,
    store: Database,
    *,
    passwords: Passwords,
    signer: Signer,
    audit: Audit,
    clock: Clock,
) -> Context:
    withdrawn_for = settings.access_token_lifetime + _SLACK
    users = UserRepository(store)
    families = FamilyRepository(store, keep=withdrawn_for)
    guard = AttemptGuard(AttemptRepository(store), limits=_limits(settings), clock=clock)
    keys = signer if isinstance(signer, KeyRingSigner) else None
    access_tokens = AccessTokens(
        signer,
        issuer=settings.tokens.jwt_issuer,
        lifetime=settings.access_token_lifetime,
        clock=clock,
    )
    sessions = Sessions(
        families=families,
        users=users,
        access_tokens=access_tokens,
        refresh_tokens=RefreshTokens(settings.jwt_refresh_secret.get_secret_value().encode()),
        audit=audit,
        lifetimes=Lifetimes(
            idle=timedelta(days=settings.refresh_idle_days),
            absolute=timedelta(days=settings.refresh_absolute_days),
        ),
        clock=clock,
    )
    login = Login(users=users, passwords=passwords, sessions=sessions, guard=guard, audit=audit)
    revocations = Revocations(RevocationRepository(store), keep=withdrawn_for, clock=clock)
    verifier = TokenVerifier(
        audience="auth",
        issuer=settings.tokens.jwt_issuer,
        clock=clock,
        keys=keys,
        secret=settings.tokens.jwt_access_secret,
    )

    async def require_ready() -> None:
        await require_answer(store)

    return Context(
        login=login,
        sessions=sessions,
        registration=Registration(
            users=users,
            passwords=passwords,
            guard=guard,
            audit=audit,
            clock=clock,
            is_open=settings.registration_open,
        ),
        profile=Profile(
            users=users,
            passwords=passwords,
            sessions=sessions,
            guard=guard,
            audit=audit,
            clock=clock,
        ),
        users=Users(users=users, families=families, audit=audit, clock=clock),
        oauth=OAuth(
            login=login,
            sessions=sessions,
            clients=ServiceClients(_service_clients(settings)),
            access_tokens=access_tokens,
        ),
        revocations=revocations,
        audit=audit,
        signer=signer,
        verifier=OwnTokenVerifier(verifier, revocations),
        require_ready=require_ready,
    )


def _limits(settings: Settings) -> AttemptLimits:
    window = timedelta(seconds=settings.attempt_window_seconds)
    return AttemptLimits(
        name=Limit(count=settings.sign_in_failures, window=window),
        address=Limit(count=settings.sign_in_failures_per_address, window=window),
        registration=Limit(count=settings.registrations_per_address, window=window),
    )


def _service_clients(settings: Settings) -> dict[str, ServiceClient]:
    return {
        name: ServiceClient(
            id=name,
            secret=client.secret.get_secret_value(),
            scopes={audience: frozenset(scopes) for audience, scopes in client.scopes.items()},
        )
        for name, client in settings.service_clients.items()
    }
