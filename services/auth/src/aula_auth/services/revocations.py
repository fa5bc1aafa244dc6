"""What was withdrawn: the feed for verifiers, and the check of auth's own callers."""

from datetime import datetime, timedelta

from aula_auth.domain.moment import moment
from aula_auth.domain.ports import RevocationStore
from aula_auth.domain.revocation import Revocation, RevocationFeed, RevocationKind
from aula_common.clock import Clock
from aula_common.errors import UnauthorizedError
from aula_common.security.principal import Principal
from aula_common.security.verifier import TokenVerifier

# A write carries a moment from before it was visible, and another machine's clock may differ:
# each answer therefore reaches back this far behind the last one. Entries are idempotent.
OVERLAP = timedelta(seconds=30)


class Revocations:
    """Entries live for `keep`: as long as a token that they concern could."""

    def __init__(self, revocations: RevocationStore, *, keep: timedelta, clock: Clock) -> None:
        self._revocations = revocations
        self._keep = keep
        self._clock = clock

    async def feed(self, since: datetime | None) -> RevocationFeed:
        """What was withdrawn since that moment (all that still matters, if None), oldest first."""
        now = moment(self._clock)
        horizon = now - self._keep
        start = max(since, horizon) if since is not None else horizon
        start = min(start, now - OVERLAP)
        found = [
            *(
                (RevocationKind.USER, user_id, at)
                for user_id, at in await self._revocations.users_since(start)
            ),
            *(
                (RevocationKind.FAMILY, family_id, at)
                for family_id, at in await self._revocations.families_since(start)
            ),
        ]
        found.sort(key=lambda entry: entry[2])
        entries = tuple(
            Revocation(kind=kind, id=subject, at=at, expires_at=at + self._keep)
            for kind, subject, at in found
        )
        return RevocationFeed(revocations=entries, now=now, next=now - OVERLAP)

    async def require_standing(self, principal: Principal) -> None:
        """Raise UnauthorizedError if the person's token was withdrawn, as of this moment."""
        if principal.is_service:
            return
        if await self._revocations.is_withdrawn(
            user_id=principal.id,
            family_id=principal.session_id,
            issued_at=principal.issued_at,
        ):
            raise UnauthorizedError


class OwnTokenVerifier:
    """Verifies auth's own callers: what other services learn by polling, auth knows at once."""

    def __init__(self, verifier: TokenVerifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def verify(self, token: str) -> Principal:
        """The principal of a token. UnauthorizedError; UnavailableError without the database."""
        principal = await self._verifier.verify(token)
        await self._revocations.require_standing(principal)
        return principal
