"""Sessions: begun by a sign-in, kept by refreshing, ended by their user or by reuse."""

from datetime import datetime

from aula_auth.domain.audit import AuditKind
from aula_auth.domain.errors import InvalidCredentialsError, InvalidRefreshTokenError
from aula_auth.domain.family import Device, EndReason, Family, Lifetimes, Spent, next_expiry
from aula_auth.domain.moment import TICK, moment
from aula_auth.domain.page import Slice
from aula_auth.domain.ports import FamilyStore, UserStore
from aula_auth.domain.refresh_token import RefreshToken, RefreshTokens
from aula_auth.domain.session import Session
from aula_auth.domain.user import User, UserChanges
from aula_auth.services.audit import Audit
from aula_auth.services.tokens import AccessTokens
from aula_common.clock import Clock
from aula_common.errors import NotFoundError
from aula_common.ids import new_id
from aula_common.logging import get_logger
from aula_common.security.principal import Principal

_log = get_logger(__name__)


class Sessions:
    """The life of a family: `begin`, `refresh`, and its ends."""

    def __init__(
        self,
        *,
        families: FamilyStore,
        users: UserStore,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        audit: Audit,
        lifetimes: Lifetimes,
        clock: Clock,
    ) -> None:
        self._families = families
        self._users = users
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._audit = audit
        self._lifetimes = lifetimes
        self._clock = clock

    async def begin(self, user: User, device: Device) -> Session:
        """A session of that user, whose password was just verified.

        InvalidCredentialsError if it is no longer theirs: it was changed meanwhile.
        """
        now = moment(self._clock)
        if user.sessions_void_until is not None:
            now = max(now, user.sessions_void_until + TICK)
        family_id = new_id("fam")
        token = self._refresh_tokens.issue(family_id, 1)
        absolute = now + self._lifetimes.absolute
        await self._families.add(
            Family(
                id=family_id,
                user_id=user.id,
                device=device,
                created_at=now,
                last_used_at=now,
                expires_at=next_expiry(now=now, absolute=absolute, lifetimes=self._lifetimes),
                absolute_expires_at=absolute,
                generation=1,
                digest=token.digest,
            )
        )
        as_of = moment(self._clock)
        # a password change ends the families that it finds; one added later must notice it here
        fresh = await self._users.find(user.id)
        if (
            fresh is None
            or not fresh.is_active
            or fresh.password_changed_at != user.password_changed_at
        ):
            reason = EndReason.PASSWORD_CHANGED
            await self._families.end(family_id, user_id=user.id, at=as_of, reason=reason)
            raise InvalidCredentialsError
        return self._session(fresh, token, as_of)

    async def refresh(self, text: str) -> Session:
        """A new pair for a live refresh token, or for its immediate parent soon after.

        Any number of refreshes of one token at once get one and the same new token. Reuse of
        an older one ends the family. InvalidRefreshTokenError whatever is wrong.
        """
        as_of = moment(self._clock)
        token = self._refresh_tokens.recognise(text)
        if token is None:
            raise InvalidRefreshTokenError
        family = await self._families.find(token.family_id)
        user = await self._users.find(family.user_id) if family is not None else None
        if family is None or user is None or not _may_refresh(family, user, as_of):
            raise InvalidRefreshTokenError
        child = await self._rotate(family, token, as_of)
        if child is None:
            child = await self._live_child(token, as_of)
        if child is None:
            await self._end_reused(family, as_of)
            raise InvalidRefreshTokenError
        return self._session(user, child, as_of)

    async def sign_out(self, principal: Principal) -> None:
        """End the session that the caller's token belongs to, if it is still live."""
        if principal.session_id is not None:
            await self._end(principal.id, principal.session_id, EndReason.SIGNED_OUT)

    async def end(self, user_id: str, family_id: str) -> None:
        """End one of the user's live sessions. NotFoundError if it isn't one."""
        if not await self._end(user_id, family_id, EndReason.ENDED_BY_USER):
            raise NotFoundError

    async def end_all(self, user_id: str, *, actor_id: str, reason: EndReason) -> None:
        """End every session of that user, and every token. NotFoundError without such a user."""
        # the first write alone is enough: refresh compares with it, verifiers hear of it
        user = await self._users.change(
            user_id, UserChanges(), at=moment(self._clock), void_sessions=True
        )
        if user is None:
            raise NotFoundError
        await self._families.end_all(user_id, at=moment(self._clock), reason=reason)
        await self._audit.record(
            AuditKind.SESSIONS_ENDED, user_id=user_id, actor_id=actor_id, details={"reason": reason}
        )

    async def end_others(self, user_id: str, *, but: str | None, reason: EndReason) -> None:
        """End every session of that user but one."""
        await self._families.end_all(user_id, at=moment(self._clock), reason=reason, but=but)

    async def list_live(self, user_id: str, *, offset: int, limit: int) -> Slice[Family]:
        """The user's live sessions, latest used first."""
        user = await self._users.find(user_id)
        since = user.sessions_void_until if user else None
        now = moment(self._clock)
        return await self._families.list_live(
            user_id, now=now, since=since, offset=offset, limit=limit
        )

    async def _end(self, user_id: str, family_id: str, reason: EndReason) -> bool:
        now = moment(self._clock)
        ended = await self._families.end(family_id, user_id=user_id, at=now, reason=reason)
        if ended:
            details = {"reason": reason, "session": family_id}
            await self._audit.record(
                AuditKind.SIGNED_OUT, user_id=user_id, actor_id=user_id, details=details
            )
        return ended

    async def _rotate(
        self, family: Family, token: RefreshToken, now: datetime
    ) -> RefreshToken | None:
        if family.digest != token.digest:
            return None
        child = self._refresh_tokens.issue(family.id, family.generation + 1)
        sealed = self._refresh_tokens.seal(child, parent=token)
        rotated = await self._families.rotate(
            family.id,
            generation=child.generation,
            digest=child.digest,
            spent=Spent(digest=token.digest, at=now, sealed_child=sealed),
            expires_at=next_expiry(
                now=now, absolute=family.absolute_expires_at, lifetimes=self._lifetimes
            ),
        )
        return child if rotated is not None else None

    async def _live_child(self, token: RefreshToken, now: datetime) -> RefreshToken | None:
        """The token that has just taken this one's place."""
        family = await self._families.find(token.family_id)
        if family is None or not family.is_live(now):
            return None
        sealed = family.graced_child(token.digest, now)
        return self._refresh_tokens.unseal(sealed, parent=token) if sealed else None

    async def _end_reused(self, family: Family, now: datetime) -> None:
        ended = await self._families.end(
            family.id, user_id=family.user_id, at=now, reason=EndReason.REUSED
        )
        if not ended:
            return
        _log.warning("refresh token reused", user=family.user_id, family=family.id)
        await self._audit.record(AuditKind.TOKEN_REUSED, user_id=family.user_id)

    def _session(self, user: User, token: RefreshToken, as_of: datetime) -> Session:
        return Session(
            user=user,
            access_token=self._access_tokens.for_user(
                user, session_id=token.family_id, as_of=as_of
            ),
            refresh_token=token.text,
        )


def _may_refresh(family: Family, user: User, now: datetime) -> bool:
    void_until = user.sessions_void_until
    return (
        family.is_live(now)
        and user.is_active
        and (void_until is None or family.created_at > void_until)
    )
