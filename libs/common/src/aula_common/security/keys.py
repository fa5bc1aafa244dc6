"""The public keys that verify tokens, fetched from auth once and not in a storm."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.logging import get_logger

_log = get_logger(__name__)

ASYMMETRIC_ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm that it may be used with."""

    kid: str
    algorithm: str
    key: Any


class KeySource(Protocol):
    """Where public keys come from."""

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of that id; None if there is none. UnavailableError if none was ever known."""
        ...


def parse_jwks(document: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """The signing keys of a JSON Web Key Set by id; what is not understood is left out."""
    keys: dict[str, VerificationKey] = {}
    for entry in document.get("keys", []):
        kid = entry.get("kid")
        if not isinstance(kid, str) or entry.get("use", "sig") != "sig":
            continue
        try:
            parsed = jwt.PyJWK.from_dict(entry)
        except jwt.PyJWTError:
            _log.warning("key not understood", kid=kid)
            continue
        if parsed.algorithm_name in ASYMMETRIC_ALGORITHMS:
            keys[kid] = VerificationKey(kid, parsed.algorithm_name, parsed.key)
    return keys


class RemoteKeys:
    """Keys that auth publishes, cached.

    An unknown id causes one fetch, shared by all who wait for it, and at most one every
    `pause` seconds however many unknown ids come; keys known stay usable while auth is away,
    and are fetched anew after `max_age` seconds, so that a withdrawn key ends.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        clock: Clock,
        pause: float = 10,
        max_age: float = 300,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._pause = pause
        self._max_age = max_age
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of that id; None if auth has none. UnavailableError if none was ever known."""
        now = self._clock.monotonic()
        if kid not in self._keys or now - self._fetched_at > self._max_age:
            await self._refresh(kid)
        if not self._keys:
            raise UnavailableError("auth")
        return self._keys.get(kid)

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            now = self._clock.monotonic()
            fresh = now - self._fetched_at <= self._max_age
            if (kid in self._keys and fresh) or now - self._tried_at < self._retry_pause():
                return
            self._tried_at = now
            try:
                self._keys = parse_jwks(await self._fetch())
                self._fetched_at = self._clock.monotonic()
            except UnavailableError:
                _log.warning("keys could not be fetched", known=len(self._keys))

    def _retry_pause(self) -> float:
        return self._pause if self._keys else min(self._pause, 1.0)
