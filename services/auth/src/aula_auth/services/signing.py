"""Signatures of access tokens: by rotating Ed25519 keys, or under a shared secret."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

import jwt
from pydantic import SecretStr

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.keyring import ALGORITHM, KeyRing
from aula_auth.domain.moment import moment
from aula_auth.domain.ports import KeyRingStore
from aula_auth.services.audit import Audit
from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger
from aula_common.security.keys import VerificationKey

_log = get_logger(__name__)
_TYPE = "at+jwt"
_RELOAD_PAUSE_SECONDS = 10


class Signer(Protocol):
    """Signs tokens, and publishes what verifies them."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a signed access token."""
        ...

    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JSON Web Key Set."""
        ...


class SharedSecretSigner:
    """HS256: whoever can verify can also sign, so nothing is published."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a signed access token."""
        return jwt.encode(
            dict(claims),
            self._secret.get_secret_value(),
            algorithm="HS256",
            headers={"typ": _TYPE},
        )

    def jwks(self) -> dict[str, Any]:
        """An empty set."""
        return {"keys": []}


class KeyRingSigner:
    """EdDSA by the ring's current key; also the KeySource that verifies auth's own tokens.

    All processes share one ring. A process may lag behind a rotation by its refresh interval:
    the next key was published long before, and the old one verifies for `overlap` more.
    """

    def __init__(
        self,
        rings: KeyRingStore,
        *,
        audit: Audit,
        clock: Clock,
        lifetime: timedelta,
        overlap: timedelta,
    ) -> None:
        self._rings = rings
        self._audit = audit
        self._clock = clock
        self._lifetime = lifetime
        self._overlap = overlap
        self._ring: KeyRing | None = None
        self._reload_after = 0.0

    @property
    def ring(self) -> KeyRing:
        """The ring as last read. UnavailableError before the first read."""
        if self._ring is None:
            raise UnavailableError("the key ring")
        return self._ring

    async def refresh(self) -> None:
        """Read the ring; make it on the first start of all; rotate it when that is due."""
        ring = await self._rings.load()
        if ring is None:
            await self._rings.create(KeyRing.create(moment(self._clock)))
            ring = await self._rings.load()
        self._ring = ring
        if self.ring.is_due(now=moment(self._clock), lifetime=self._lifetime):
            await self.rotate()

    async def rotate(self) -> bool:
        """Let the next key sign from now on; False if another process has just done that."""
        rotated = self.ring.rotate(now=moment(self._clock), overlap=self._overlap)
        won = await self._rings.replace(rotated)
        self._ring = rotated if won else await self._rings.load()
        if won:
            kid = self.ring.current.kid
            _log.info("signing key rotated", kid=kid, version=self.ring.version)
            await self._audit.record(AuditKind.KEYS_ROTATED, details={"kid": kid})
        return won

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a signed access token."""
        key = self.ring.current
        headers = {"typ": _TYPE, "kid": key.kid}
        return jwt.encode(dict(claims), key.private_key, algorithm=ALGORITHM, headers=headers)

    def jwks(self) -> dict[str, Any]:
        """The public keys that may still verify a token, or soon will."""
        return self.ring.jwks(moment(self._clock))

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of that id, if it may still verify a token.

        An unknown one has the ring read anew, once in a while: it may just have been rotated.
        """
        if all(key.kid != kid for key in self.ring.keys):
            await self._reload()
        for key in self.ring.verifying(moment(self._clock)):
            if key.kid == kid:
                return VerificationKey(kid, ALGORITHM, key.private_key.public_key())
        return None

    async def _reload(self) -> None:
        now = self._clock.monotonic()
        if now < self._reload_after:
            return
        self._reload_after = now + _RELOAD_PAUSE_SECONDS
        try:
            self._ring = await self._rings.load() or self._ring
        except UnavailableError:
            _log.warning("key ring not read", version=self.ring.version)
