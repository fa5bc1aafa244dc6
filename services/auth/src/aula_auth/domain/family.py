"""Refresh-token families: one for each sign-in, with at most one live token."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GRACE = timedelta(seconds=10)


class EndReason(StrEnum):
    """Why a family ended."""

    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    ENDED_BY_USER = "ended_by_user"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a reason, not a password
    REVOKED = "revoked"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a sign-in came from, as the client said it."""

    user_agent: str | None
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long a family may rest, and how long it may live at all."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The live token's immediate parent.

    `sealed_child` is the token that took its place, readable with the parent alone.
    """

    digest: bytes
    at: datetime
    sealed_child: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A sign-in on one device.

    `digest` is that of the one live refresh token, the family's `generation`-th.
    """

    id: str
    user_id: str
    device: Device
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    absolute_expires_at: datetime
    generation: int
    digest: bytes
    spent: Spent | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it can still be refreshed."""
        return self.ended_at is None and now < self.expires_at

    def graced_child(self, digest: bytes, now: datetime) -> bytes | None:
        """The sealed live token, for the one who brings its immediate parent soon enough.

        Two tabs, or a retry whose answer was lost, send the same token twice: both get the
        same child, so that one live token is all there is.
        """
        spent = self.spent
        if spent is None or spent.digest != digest or now - spent.at > GRACE:
            return None
        return spent.sealed_child


def next_expiry(*, now: datetime, absolute: datetime, lifetimes: Lifetimes) -> datetime:
    """When a family that was just used ends by itself."""
    return min(now + lifetimes.idle, absolute)
