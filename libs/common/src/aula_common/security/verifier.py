"""Verification of access tokens (RFC 9068), cached."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import jwt
from pydantic import SecretStr

from aula_common.clock import Clock
from aula_common.errors import UnauthorizedError
from aula_common.ids import is_id
from aula_common.security.keys import ASYMMETRIC_ALGORITHMS, KeySource, VerificationKey
from aula_common.security.principal import USER_AUDIENCE, Principal, Role

_MAX_TOKEN_CHARACTERS = 8192
_LEEWAY_SECONDS = 5
_CACHE_SIZE = 10_000
_HEADERS = frozenset({"alg", "typ", "kid"})
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "jti"]
_LEGACY_TYPES = (None, "JWT", "at+jwt")
_LEGACY_ROLES = {"user": "enduser"}


class Revocations(Protocol):
    """Tells whether a token that is still valid by itself was withdrawn."""

    def revoked(self, principal: Principal) -> bool:
        """Whether the principal's family, person or key was signed out since."""
        ...


class TokenVerifier:
    """Turns an access token into a principal, or raises UnauthorizedError for every fault alike.

    With `secret` tokens are HS256 under it, and those of an existing issuer are understood;
    else they are verified by `keys`. `audience` is the name of this service: a service's token
    must be for it alone, a person's for the platform.
    """

    def __init__(
        self,
        *,
        audience: str,
        issuer: str,
        clock: Clock,
        keys: KeySource | None = None,
        secret: SecretStr | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        if (keys is None) == (secret is None):
            msg = "either keys or a shared secret verify tokens, never both"
            raise ValueError(msg)
        self._audience = audience
        self._issuer = issuer
        self._clock = clock
        self._keys = keys
        self._secret = secret
        self._revocations = revocations
        # with the key that verified it: a withdrawn key takes its tokens with it
        self._cache: OrderedDict[bytes, tuple[Principal, VerificationKey | None]] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The principal of a token.

        Raises UnauthorizedError if it is not valid here and now; UnavailableError only if no
        key was ever known.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise UnauthorizedError
        digest = hashlib.sha256(token.encode()).digest()
        principal = await self._cached(digest)
        if principal is None:
            claims, key = await self._claims(token)
            principal = self._principal(claims)
            self._cache[digest] = (principal, key)
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        if principal.expires_at.timestamp() + _LEEWAY_SECONDS <= self._clock.now().timestamp():
            self._cache.pop(digest, None)
            raise UnauthorizedError
        if self._revocations is not None and self._revocations.revoked(principal):
            raise UnauthorizedError
        return principal

    def is_current(self, principal: Principal) -> bool:
        """Whether a principal verified earlier would still be let in: for long answers.

        False from its token's expiry on, to the second, or once the token was withdrawn.
        """
        if principal.expires_at <= self._clock.now():
            return False
        return self._revocations is None or not self._revocations.revoked(principal)

    async def _cached(self, digest: bytes) -> Principal | None:
        if (entry := self._cache.get(digest)) is None:
            return None
        principal, key = entry
        if self._keys is not None and key is not None and await self._keys.find(key.kid) != key:
            self._cache.pop(digest, None)
            return None
        return principal

    async def _claims(self, token: str) -> tuple[Mapping[str, Any], VerificationKey | None]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthorizedError from None
        if self._keys is None:
            return self._decode_legacy(token, header), None
        kid, algorithm = header.get("kid"), header.get("alg")
        # all of this before a key is looked for, so that only a plausible token makes us fetch
        if (
            not header.keys() <= _HEADERS
            or header.get("typ") != "at+jwt"
            or not (isinstance(algorithm, str) and algorithm in ASYMMETRIC_ALGORITHMS)
            or not (isinstance(kid, str) and is_id(kid))
        ):
            raise UnauthorizedError
        key = await self._keys.find(kid)
        if key is None:
            raise UnauthorizedError
        claims = self._decode(token, key.key, key.algorithm, required=_REQUIRED)
        return claims, key

    def _decode_legacy(self, token: str, header: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._secret is not None  # noqa: S101 - one of the two, checked at construction
        if header.get("typ") not in _LEGACY_TYPES:
            raise UnauthorizedError
        secret = self._secret.get_secret_value()
        claims = self._decode(token, secret, "HS256", required=["exp"])
        role = claims.get("role")
        return {
            **claims,
            "sub": claims.get("sub") or claims.get("userId"),
            "role": _LEGACY_ROLES.get(role, role) if isinstance(role, str) else role,
            "jti": claims.get("jti", "-"),
            "iat": claims.get("iat", 0),
        }

    def _decode(
        self,
        token: str,
        key: Any,
        algorithm: str,
        *,
        required: list[str],
    ) -> Mapping[str, Any]:
        try:
            # the library refuses another algorithm and an unknown `crit`; times, audience and
            # issuer are checked below, by our clock and rules
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options={
                    "require": required,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthorizedError from None
        self._check_claims(claims, strict=algorithm != "HS256")
        return claims

    def _check_claims(self, claims: Mapping[str, Any], *, strict: bool) -> None:
        now = self._clock.now().timestamp()
        for name in ("exp", "nbf", "iat"):
            if name in claims and not _is_number(claims[name]):
                raise UnauthorizedError
        begins = max(claims.get("nbf", 0), claims.get("iat", 0))
        if now >= claims["exp"] + _LEEWAY_SECONDS or now < begins - _LEEWAY_SECONDS:
            raise UnauthorizedError
        service = claims.get("role") == Role.SERVICE
        expected = self._audience if service else USER_AUDIENCE
        if (strict or service or "aud" in claims) and claims.get("aud") != expected:
            raise UnauthorizedError
        if (strict or service or "iss" in claims) and claims.get("iss") != self._issuer:
            raise UnauthorizedError

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        session_id = claims.get("sid")
        teams = claims.get("teams", [])
        try:
            return Principal(
                id=_text(claims["sub"]),
                role=Role(claims.get("role", "")),
                token_id=_text(claims["jti"]),
                issued_at=datetime.fromtimestamp(claims["iat"], UTC),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
                tier=_text(claims.get("tier", "basic")),
                teams=tuple(_text(team) for team in teams) if isinstance(teams, list) else (),
                session_id=None if session_id is None else _text(session_id),
                scopes=frozenset(_text(claims.get("scope") or " ").split()),
            )
        except (TypeError, ValueError, OverflowError, OSError):
            raise UnauthorizedError from None


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        msg = "a claim is not text"
        raise TypeError(msg)
    return value
