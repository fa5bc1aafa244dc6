"""Services: who they are, and the tokens that they get."""

import hashlib
import hmac
from collections.abc import Mapping

from aula_auth.domain.errors import InvalidClientError
from aula_auth.domain.service_client import Grant, ServiceClient


class ServiceClients:
    """The clients that the operator has configured."""

    def __init__(self, clients: Mapping[str, ServiceClient]) -> None:
        self._clients = clients

    def grant(
        self, *, client_id: str, secret: str, audience: str | None, scope: str | None
    ) -> Grant:
        """What that client may do at that audience.

        InvalidClientError, InvalidTargetError, InvalidScopeError.
        """
        return self._authenticate(client_id, secret).grant(audience=audience, scope=scope)

    def _authenticate(self, client_id: str, secret: str) -> ServiceClient:
        client = self._clients.get(client_id)
        expected = client.secret if client is not None else ""
        same = hmac.compare_digest(_digest(expected), _digest(secret))
        if client is None or not same:
            raise InvalidClientError
        return client


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
