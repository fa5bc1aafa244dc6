"""The public keys that verify tokens, fetched from auth once and not in a storm."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.flight import SingleFlight
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
        """The key of that id; None if there is none. UnavailableError if none was ever known.

        Asked for every request, so it must be quick for a key that is known.
        """
        ...


def parse_jwks(document: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """The signing keys of a JSON Web Key Set by id; what is not understood is left out."""
    keys: dict[str, VerificationKey] = {}
    entries = document.get("keys")
    for entry in entries if isinstance(entries, list) else []:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or entry.get("use", "sig") != "sig":
            continue
        try:
            parsed = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):  # the last: alg "none"
            _log.warning("key not understood", kid=kid)
            continue
        if parsed.algorithm_name in ASYMMETRIC_ALGORITHMS:
            keys[kid] = VerificationKey(kid, parsed.algorithm_name, parsed.key)
    return keys


class RemoteKeys:
    """Keys that auth publishes, cached.

    An unknown id causes one fetch, shared by all who wait for it, and at most one every
    `pause` seconds however many unknown ids come: auth publishes a key before it signs with it.
    After `max_age` seconds the set is fetched anew in the background, so that a withdrawn key
    ends; nobody waits for that, and while auth is away the known keys stay.
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
        self._withdrawn: set[str] = set()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._refreshing = SingleFlight(self._refresh, name="fetch keys")

    async def find(self, kid: str) -> VerificationKey | None:
        """The key of that id; None if auth has none. UnavailableError if none was ever known."""
        if (key := self._keys.get(kid)) is not None:
            stale = self._clock.monotonic() - self._fetched_at > self._max_age
            if stale and self._may_fetch():
                self._refreshing.start()
            return key
        if kid not in self._withdrawn and (self._refreshing.running or self._may_fetch()):
            await self._refreshing.join()
        if not self._keys:
            raise UnavailableError("auth")
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            keys = parse_jwks(await self._fetch())
        except UnavailableError:
            keys = {}
        if not keys:  # an empty set would lock everybody out, and auth never publishes one
            _log.warning("keys could not be fetched", known=len(self._keys))
            return
        self._withdrawn |= self._keys.keys() - keys.keys()
        self._keys = keys
        self._fetched_at = self._clock.monotonic()

    def _may_fetch(self) -> bool:
        pause = self._pause if self._keys else min(self._pause, 1.0)
        return self._clock.monotonic() - self._tried_at >= pause
