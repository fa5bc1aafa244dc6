"""Access tokens (RFC 9068) for people and for services."""

from datetime import datetime, timedelta
from typing import Any

from aula_auth.domain.moment import TICK, moment
from aula_auth.domain.service_client import Grant
from aula_auth.domain.session import AccessToken
from aula_auth.domain.user import User
from aula_auth.services.signing import Signer
from aula_common.clock import Clock
from aula_common.ids import new_id
from aula_common.security.principal import USER_AUDIENCE, Role


class AccessTokens:
    """Mints access tokens that live for `lifetime`."""

    def __init__(self, signer: Signer, *, issuer: str, lifetime: timedelta, clock: Clock) -> None:
        self._signer = signer
        self._issuer = issuer
        self._lifetime = lifetime
        self._clock = clock

    def for_user(self, user: User, *, session_id: str, as_of: datetime) -> AccessToken:
        """A token of the person.

        `as_of` is a moment before the user was read: a change of role that the read missed is
        later, and voids the token. `iat` has milliseconds, so that a token made right after
        such a change is told from one made right before it.
        """
        issued_at = as_of
        if user.tokens_void_until is not None:
            issued_at = max(issued_at, user.tokens_void_until + TICK)
        return self._mint(
            {
                "aud": USER_AUDIENCE,
                "sub": user.id,
                "role": user.role,
                "tier": user.tier,
                "teams": [],
                "sid": session_id,
            },
            issued_at,
        )

    def for_service(self, grant: Grant) -> AccessToken:
        """A token of the service for its one audience."""
        return self._mint(
            {
                "aud": grant.audience,
                "sub": grant.client_id,
                "role": Role.SERVICE,
                "scope": " ".join(sorted(grant.scopes)),
            },
            moment(self._clock),
        )

    def _mint(self, claims: dict[str, Any], issued_at: datetime) -> AccessToken:
        seconds = issued_at.timestamp()
        text = self._signer.sign(
            {
                "iss": self._issuer,
                **claims,
                "exp": int(seconds + self._lifetime.total_seconds()),
                "iat": round(seconds, 3),
                "nbf": int(seconds),
                "jti": new_id("tok"),
            }
        )
        return AccessToken(text=text, expires_in=int(self._lifetime.total_seconds()))
