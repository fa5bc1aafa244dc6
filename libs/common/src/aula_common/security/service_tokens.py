"""The tokens that a service calls others with: OAuth 2.0 client credentials, cached."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aula_common.clock import Clock
from aula_common.flight import SingleFlight

_FRESH_SHARE = 0.5  # of its life a token is used without a thought
_USABLE_SHARE = 0.95  # and until here while a new one is on its way


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
    """Service tokens by audience, each fetched once for all who wait.

    From half its life on a token is renewed in the background while it still serves, so that
    nobody waits, and auth's absence shows only when a token is about to expire.
    """

    def __init__(self, issuer: TokenIssuer, *, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._tokens: dict[str, tuple[GrantedToken, float]] = {}
        self._renewals: dict[str, SingleFlight[str]] = {}

    async def token(self, audience: str) -> str:
        """A valid token for that service. UnavailableError if there is none and auth is away."""
        if (cached := self._cached(audience, share=_FRESH_SHARE)) is not None:
            return cached
        if (renewal := self._renewals.get(audience)) is None:
            renewal = SingleFlight(partial(self._renew, audience), name=f"token for {audience}")
            self._renewals[audience] = renewal
        if (cached := self._cached(audience, share=_USABLE_SHARE)) is not None:
            renewal.start()
            return cached
        return await renewal.join()

    def forget(self, audience: str, token: str | None = None) -> None:
        """Drop a token that the other side refused; with `token`, only if it is still that one."""
        if token is None or (audience in self._tokens and self._tokens[audience][0].token == token):
            self._tokens.pop(audience, None)

    async def _renew(self, audience: str) -> str:
        asked_at = self._clock.monotonic()
        granted = await self._issuer.grant(audience)
        self._tokens[audience] = (granted, asked_at)
        return granted.token

    def _cached(self, audience: str, *, share: float) -> str | None:
        if (entry := self._tokens.get(audience)) is None:
            return None
        granted, since = entry
        alive = self._clock.monotonic() < since + granted.expires_in * share
        return granted.token if alive else None
