"""What every service asks auth: its keys, its revocations, tokens for calling others."""

from collections.abc import Mapping
from typing import Any

from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient
from aula_common.logging import get_logger
from aula_common.security.service_tokens import GrantedToken
from aula_common.settings import TokenSettings

_log = get_logger(__name__)

JWKS_PATH = "/api/auth/.well-known/jwks.json"


class AuthClient:
    """auth's open endpoints: the keys, and the grant of client credentials."""

    def __init__(self, client: ServiceClient, settings: TokenSettings) -> None:
        self._client = client
        self._settings = settings

    async def fetch_keys(self) -> Mapping[str, Any]:
        """The published key set. UnavailableError if auth doesn't answer with one."""
        answer = await self._client.request("GET", JWKS_PATH, retry=True, deadline=3)
        if not answer.ok or not isinstance(answer.body, dict):
            raise UnavailableError("auth")
        return answer.body

    async def grant(self, audience: str) -> GrantedToken:
        """A token of this service's own for calling another. UnavailableError if not granted."""
        secret = self._settings.service_client_secret
        answer = await self._client.request(
            "POST",
            "/api/auth/token",
            form={
                "grant_type": "client_credentials",
                "client_id": self._settings.service_client_id,
                "client_secret": secret.get_secret_value() if secret else "",
                "audience": audience,
            },
            retry=True,
            deadline=3,
        )
        if not answer.ok:
            # our credentials or grants are wrong, which no retry cures and an operator must see
            _log.error("auth granted no token", audience=audience, status=answer.status)
            raise UnavailableError("auth")
        try:
            return GrantedToken(str(answer.body["access_token"]), float(answer.body["expires_in"]))
        except (TypeError, KeyError, ValueError) as error:
            raise UnavailableError("auth") from error


async def fetch_revocations(client: ServiceClient, since: str | None) -> Mapping[str, Any]:
    """auth's revocations after the cursor `since`; needs the scope `revocations:read`."""
    params = {"since": since} if since else None
    answer = await client.request("GET", "/internal/revocations", params=params, deadline=5)
    if not answer.ok or not isinstance(answer.body, dict):
        _log.error("auth showed no revocations", status=answer.status)
        raise UnavailableError("auth")
    body: Mapping[str, Any] = answer.body
    return body
