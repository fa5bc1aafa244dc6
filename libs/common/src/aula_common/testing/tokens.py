"""Real tokens from a key made for the test."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aula_common.clock import Clock, SystemClock
from aula_common.ids import new_id
from aula_common.security.keys import VerificationKey, parse_jwks
from aula_common.security.principal import USER_AUDIENCE, Role
from aula_common.security.verifier import TokenVerifier

ISSUER = "aula"


class TokenMint:
    """Signs tokens as auth does and, as a KeySource, publishes the key that verifies them.

    With `shared_secret` (`JWT_ACCESS_SECRET`) it signs with that instead.
    """

    def __init__(self, clock: Clock | None = None, *, shared_secret: str | None = None) -> None:
        self.clock = clock or SystemClock()
        self._shared_secret = shared_secret
        self.private_key = Ed25519PrivateKey.generate()
        self.kid = new_id("key")
        self._keys = parse_jwks(self.jwks())

    def jwks(self) -> dict[str, Any]:
        """The key set document."""
        entry = jwt.algorithms.OKPAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"keys": [{**entry, "kid": self.kid, "use": "sig", "alg": "EdDSA"}]}

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of that id, if it is this mint's."""
        return self._keys.get(kid)

    def verifier(self, service: str) -> TokenVerifier:
        """A verifier for that service which trusts this mint alone."""
        return TokenVerifier(audience=service, issuer=ISSUER, clock=self.clock, keys=self)

    def user(
        self,
        user_id: str,
        *,
        role: Role = Role.ENDUSER,
        tier: str = "basic",
        **claims: Any,
    ) -> str:
        """An access token of a person."""
        return self.sign({"sub": user_id, "role": role, "tier": tier, "teams": [], **claims})

    def service(self, client: str, *, audience: str, scopes: Iterable[str], **claims: Any) -> str:
        """A token of a service for calling the service `audience`."""
        return self.sign(
            {
                "sub": client,
                "role": Role.SERVICE,
                "aud": audience,
                "scope": " ".join(scopes),
                **claims,
            }
        )

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """A token with these claims over the usual ones."""
        now = self.clock.now()
        usual = {
            "iss": ISSUER,
            "aud": USER_AUDIENCE,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=15)).timestamp()),
            "jti": new_id("tok"),
            "sid": new_id("fam"),
        }
        if self._shared_secret is not None:
            return jwt.encode({**usual, **claims}, self._shared_secret, "HS256", headers or None)
        return jwt.encode(
            {**usual, **claims},
            self.private_key,
            algorithm="EdDSA",
            headers={"typ": "at+jwt", "kid": self.kid, **headers},
        )
