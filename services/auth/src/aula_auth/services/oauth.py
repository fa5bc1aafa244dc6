"""The token endpoint (RFC 6749): one door, three grants."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aula_auth.domain.errors import (
    InvalidClientError,
    InvalidCredentialsError,
    InvalidGrantError,
    InvalidRefreshTokenError,
    InvalidRequestError,
    UnsupportedGrantTypeError,
)
from aula_auth.domain.family import Device
from aula_auth.domain.session import AccessToken, Session
from aula_auth.domain.user import EMAIL_MAX_LENGTH, PASSWORD_MAX_LENGTH
from aula_auth.services.login import Login
from aula_auth.services.service_clients import ServiceClients
from aula_auth.services.sessions import Sessions
from aula_auth.services.tokens import AccessTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the endpoint answers with."""

    access_token: AccessToken
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None


class OAuth:
    """Answers token requests; every refusal is an OAuthError."""

    def __init__(
        self,
        *,
        login: Login,
        sessions: Sessions,
        clients: ServiceClients,
        access_tokens: AccessTokens,
    ) -> None:
        self._login = login
        self._sessions = sessions
        self._clients = clients
        self._access_tokens = access_tokens

    async def grant(
        self,
        form: Mapping[str, str],
        *,
        device: Device,
        basic: tuple[str, str] | None,
    ) -> Granted:
        """The tokens for a form; `basic` are the client's credentials, if by header."""
        match _required(form, "grant_type"):
            case "password":
                return await self._by_password(form, device)
            case "refresh_token":
                return await self._by_refresh_token(form)
            case "client_credentials":
                return self._by_client_credentials(form, basic)
            case _:
                raise UnsupportedGrantTypeError

    async def _by_password(self, form: Mapping[str, str], device: Device) -> Granted:
        name, password = _required(form, "username"), _required(form, "password")
        if len(name) > EMAIL_MAX_LENGTH or len(password) > PASSWORD_MAX_LENGTH:
            raise InvalidGrantError
        try:
            return _of_session(
                await self._login.sign_in(name=name, password=password, device=device)
            )
        except InvalidCredentialsError as error:
            raise InvalidGrantError from error

    async def _by_refresh_token(self, form: Mapping[str, str]) -> Granted:
        try:
            return _of_session(await self._sessions.refresh(_required(form, "refresh_token")))
        except InvalidRefreshTokenError as error:
            raise InvalidGrantError from error

    def _by_client_credentials(
        self, form: Mapping[str, str], basic: tuple[str, str] | None
    ) -> Granted:
        if basic is not None and "client_secret" in form:
            raise InvalidRequestError("Authenticate by the header or by the form, not by both.")
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        if not client_id or not secret:
            raise InvalidClientError
        grant = self._clients.grant(
            client_id=client_id,
            secret=secret,
            audience=form.get("audience") or None,
            scope=form.get("scope") or None,
        )
        return Granted(
            access_token=self._access_tokens.for_service(grant),
            scope=" ".join(sorted(grant.scopes)),
        )


def _of_session(session: Session) -> Granted:
    return Granted(access_token=session.access_token, refresh_token=session.refresh_token)


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        raise InvalidRequestError(f"The parameter {name} is missing.")
    return value
