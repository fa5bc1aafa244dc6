"""The tokens that a service calls others with: OAuth 2.0 client credentials, cached."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from aula_common.clock import Clock


@dataclass(frozen=True, slots=True)
class GrantedToken:
    """A token and how long it lives, in seconds from now."""

    token: str
    expires_in: float


class TokenIssuer(Protocol):
    """Asks auth for a token."""

    async def grant(self, audience: str) -> GrantedToken:
        """A token for one service. UnavailableError if auth doesn't answer."""
        ...


class ServiceTokens:
    """Service tokens by audience, each fetched once for all who wait and kept half its life."""

    def __init__(self, issuer: TokenIssuer, *, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._tokens: dict[str, tuple[GrantedToken, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def token(self, audience: str) -> str:
        """A valid token for that service; auth's absence shows only once the old one expired."""
        if (cached := self._cached(audience, share=0.5)) is not None:
            return cached
        async with self._locks.setdefault(audience, asyncio.Lock()):
            if (cached := self._cached(audience, share=0.5)) is not None:
                return cached
            try:
                granted = await self._issuer.grant(audience)
            except Exception:
                if (cached := self._cached(audience, share=0.95)) is not None:
                    return cached
                raise
            self._tokens[audience] = (granted, self._clock.monotonic())
            return granted.token

    def forget(self, audience: str) -> None:
        """Drop a token that the other side refused."""
        self._tokens.pop(audience, None)

    def _cached(self, audience: str, *, share: float) -> str | None:
        if (entry := self._tokens.get(audience)) is None:
            return None
        granted, since = entry
        alive = self._clock.monotonic() < since + granted.expires_in * share
        return granted.token if alive else None
