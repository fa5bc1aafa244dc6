"""Puts together how a service verifies its callers and presents itself to others."""

from dataclasses import dataclass

import aiohttp

from aula_common.clock import Clock
from aula_common.http import ServiceClient
from aula_common.security.auth_client import AuthClient, fetch_revocations
from aula_common.security.keys import RemoteKeys
from aula_common.security.revocations import RevocationList
from aula_common.security.service_tokens import ServiceTokens
from aula_common.security.verifier import TokenVerifier
from aula_common.settings import TokenSettings
from aula_common.tasks import Supervisor


@dataclass(frozen=True, slots=True)
class Access:
    """The verifier of this service, and the tokens that it calls others with."""

    verifier: TokenVerifier
    tokens: ServiceTokens


def create_access(
    service: str,
    settings: TokenSettings,
    *,
    session: aiohttp.ClientSession,
    clock: Clock,
    supervisor: Supervisor,
) -> Access:
    """Access for a service other than auth.

    Revocations are polled when the service has client credentials of its own.
    """
    plain = ServiceClient(
        audience="auth", base_url=settings.auth_api_url, session=session, clock=clock
    )
    auth = AuthClient(plain, settings)
    tokens = ServiceTokens(auth, clock=clock)
    signed = ServiceClient(
        audience="auth",
        base_url=settings.auth_api_url,
        session=session,
        clock=clock,
        tokens=tokens,
    )
    revocations = RevocationList(lambda since: fetch_revocations(signed, since), clock=clock)
    if settings.service_client_secret is not None:
        supervisor.every(
            settings.revocation_poll_seconds, revocations.poll, name="poll revocations"
        )
    secret = settings.jwt_access_secret
    verifier = TokenVerifier(
        audience=service,
        issuer=settings.jwt_issuer,
        clock=clock,
        keys=None if secret else RemoteKeys(auth.fetch_keys, clock=clock),
        secret=secret,
        revocations=revocations,
    )
    return Access(verifier, tokens)
