"""A plain model of one user's credits: what accounting ought to do, in the simplest words.

It knows nothing of tables, locks or batches. Moments are seconds; a result is a tuple that begins
with a word, the same that the real service's answer is translated to.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Result = tuple[Any, ...]
RATES: Mapping[str, Fraction] = {
    "anthropic.claude-3-sonnet-20240229-v1:0": Fraction(3),
    "anthropic.claude-3-haiku-20240307-v1:0": Fraction(1, 4),
    "anthropic.claude-3-opus-20240229-v1:0": Fraction(15),
}
LEASE = 300
RUNNING_LIMIT = 3


def price(tokens: int, model_id: str) -> int:
    """Whole credits, rounded up."""
    return -int(-tokens * RATES[model_id] // 1000)


@dataclass
class Allocation:
    """Credits given at once."""

    granted: int
    remaining: int
    created_at: float
    expires_at: float | None
    id: str
    held: int = 0
    charged: int = 0
    lapsed: int = 0
    revoked: int = 0
    is_revoked: bool = False

    def ended(self, now: float) -> bool:
        """Whether nothing may be taken from it or go back to it."""
        return self.is_revoked or (self.expires_at is not None and self.expires_at <= now)

    @property
    def rank(self) -> tuple[float, float, str]:
        """By this it is taken from: the soonest to expire first."""
        expires_at = float("inf") if self.expires_at is None else self.expires_at
        return expires_at, self.created_at, self.id


@dataclass
class Session:
    """A streaming session: reserved, or a tombstone."""

    status: str
    digest: Any = None
    model_id: str = ""
    input_tokens: int = 0
    reserved: int = 0
    sources: list[tuple[str, int]] = field(default_factory=list)
    lease_end: float = 0
    progress: int = 0
    charged: int = 0
    lapsed: int = 0
    overrun: int = 0

    @property
    def settlement(self) -> Result:
        """What whoever settles it is told."""
        refund = self.reserved - self.charged
        return ("settlement", self.status, self.charged, refund, self.lapsed, self.overrun)


@dataclass
class Account:
    """Everything of one user. Allocations go by the key that they were given under."""

    allocations: dict[str, Allocation] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    answers: dict[str, tuple[Any, Result]] = field(default_factory=dict)

    def clone(self) -> "Account":
        """A copy that may go another way."""
        return Account(
            {key: copy(one) for key, one in self.allocations.items()},
            {name: copy(one) for name, one in self.sessions.items()},
            dict(self.answers),
        )

    def snapshot(self) -> Result:
        """What the database ought to hold, which order of requests made it included."""
        allocations = {
            one.id: (one.granted, one.remaining, one.held, one.charged, one.lapsed, one.revoked)
            for one in self.allocations.values()
        }
        sessions = {
            name: (
                one.status,
                one.reserved,
                one.charged,
                one.lapsed,
                one.overrun,
                one.progress,
                [self.allocations[key].id for key, _ in one.sources],
                [amount for _, amount in one.sources],
            )
            for name, one in self.sessions.items()
        }
        return allocations, sessions

    def once(self, key: str, body: Any, work: Callable[[], Result]) -> Result:
        """Work that is done once for its key."""
        if key in self.answers:
            stored, answer = self.answers[key]
            return answer if stored == body else ("reused",)
        answer = work()
        if answer[0] not in _LEAVES_KEY_FREE:
            self.answers[key] = (body, answer)
        return answer

    def give(
        self,
        key: str,
        credits: int,  # noqa: A002 - the field's word
        expires_at: float | None,
        *,
        now: float,
        allocation_id: str,
    ) -> Result:
        """Give credits, for ever or until a moment."""

        def work() -> Result:
            self.allocations[key] = Allocation(credits, credits, now, expires_at, allocation_id)
            return ("given", credits)

        return self.once(key, ("give", credits, expires_at), work)

    def revoke(self, key: str, allocation: str) -> Result:
        """Take back what is left."""

        def work() -> Result:
            one = self.allocations[allocation]
            if one.is_revoked:
                return ("already",)
            one.revoked, one.remaining, one.is_revoked = one.remaining, 0, True
            return ("revoked", one.revoked, one.held)

        return self.once(key, ("revoke", allocation), work)

    def reserve(self, name: str, model_id: str, tokens: tuple[int, int], *, now: float) -> Result:
        """Hold the estimate and a fifth."""
        digest = (model_id, tokens)
        if (known := self.sessions.get(name)) is not None:
            if known.status != "active":
                return ("settled", known.status)
            return ("reserved", known.reserved) if known.digest == digest else ("conflict",)
        if sum(one.status == "active" for one in self.sessions.values()) >= RUNNING_LIMIT:
            return ("too_many",)
        estimate = price(sum(tokens), model_id)
        session = Session("active", digest, model_id, tokens[0], lease_end=now + LEASE)
        return self._hold(name, session, -(-6 * estimate // 5), now=now)

    def _hold(self, name: str, session: Session, hold: int, *, now: float) -> Result:
        usable = [one for one in self.allocations.items() if not one[1].ended(now)]
        available = sum(one.remaining for _, one in usable)
        if available < hold:
            reachable = available + sum(one.held for _, one in usable)
            return ("held" if reachable >= hold else "insufficient", available, hold)
        session.reserved = left = hold
        for key, one in sorted(usable, key=lambda item: item[1].rank):
            if (taken := min(one.remaining, left)) > 0:
                one.remaining -= taken
                one.held += taken
                left -= taken
                session.sources.append((key, taken))
        self.sessions[name] = session
        return ("reserved", hold)

    def report(self, name: str, tokens: int) -> Result:
        """Note progress; it only grows."""
        if (session := self.sessions.get(name)) is None:
            return ("unknown",)
        if session.status != "active":
            return ("settled", session.status)
        session.progress = max(session.progress, tokens)
        return ("reported", session.progress)

    def finalize(self, name: str, tokens: tuple[int, int], *, now: float) -> Result:
        """Charge what was used, at most the hold; the first settlement stands."""
        session = self.sessions.get(name)
        if session is None:
            return ("unknown",)
        return self._settle(session, "completed", sum(tokens), now=now)

    def abort(self, name: str, shown: int, *, now: float) -> Result:
        """Charge what was shown; of an unknown session leave a tombstone."""
        session = self.sessions.setdefault(name, Session("aborted"))
        used = shown + session.input_tokens if shown else 0
        return self._settle(session, "aborted", used, now=now)

    def sweep(self, *, now: float) -> int:
        """Settle what is overdue at its last progress; how many."""
        due = [
            one for one in self.sessions.values() if one.status == "active" and one.lease_end <= now
        ]
        for one in due:
            used = one.progress + one.input_tokens if one.progress else 0
            self._settle(one, "expired", used, now=now)
        return len(due)

    def expire(self, *, now: float) -> int:
        """Write off what is left of what has expired; of how many."""
        due = [
            one
            for one in self.allocations.values()
            if one.remaining and one.expires_at is not None and one.expires_at <= now
        ]
        for one in due:
            one.lapsed, one.remaining = one.lapsed + one.remaining, 0
        return len(due)

    def track(self, key: str, tokens: int, model_id: str, *, now: float, name: str) -> Result:
        """Reserve the price and settle it at once."""

        def work() -> Result:
            session = Session("active", None, model_id)
            cost = price(tokens, model_id)
            answer = self._hold(name, session, cost, now=now)
            if answer[0] != "reserved":
                return answer
            self._settle(session, "completed", tokens, now=now)
            return ("tracked", cost)

        return self.once(key, ("track", tokens, model_id), work)

    def _settle(self, session: Session, status: str, used: int, *, now: float) -> Result:
        if session.status == "active":
            cost = price(used, session.model_id)
            session.status, session.charged = status, min(cost, session.reserved)
            session.overrun = cost - session.charged
            left = session.charged
            for key, amount in session.sources:
                self._give_back(session, self.allocations[key], amount, min(amount, left), now=now)
                left -= min(amount, left)
        return session.settlement

    @staticmethod
    def _give_back(
        session: Session, one: Allocation, amount: int, charged: int, *, now: float
    ) -> None:
        one.held -= amount
        one.charged += charged
        if one.ended(now):
            one.lapsed += amount - charged
            session.lapsed += amount - charged
        else:
            one.remaining += amount - charged


_LEAVES_KEY_FREE = frozenset({"already", "held", "insufficient"})
