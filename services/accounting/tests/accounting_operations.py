"""Operations that go to the real service and to its model alike."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta

from accounting_builders import Bank, abort_request, finalize_request, reserve_request
from accounting_model import Account, Result

from aula_accounting.domain.credits import Grant
from aula_accounting.domain.errors import (
    AllocationRevokedError,
    CreditsHeldError,
    InsufficientCreditsError,
    ReservationConflictError,
    SessionSettledError,
    TooManyStreamsError,
)
from aula_accounting.domain.streaming import ProgressReport, Reservation
from aula_accounting.domain.usage import TrackedUsage
from aula_common.errors import AulaError, IdempotencyKeyReusedError, NotFoundError

_WORDS: dict[type[AulaError], str] = {
    TooManyStreamsError: "too_many",
    ReservationConflictError: "conflict",
    AllocationRevokedError: "already",
    IdempotencyKeyReusedError: "reused",
    NotFoundError: "unknown",
}


@dataclass
class World:
    """The real service, and the ids that it gave to what was done under a key."""

    bank: Bank
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """The moment, by the clock of the service."""
        return self.bank.clock.monotonic()


@dataclass(frozen=True, kw_only=True)
class Operation(ABC):
    """One request for one user; it may be sent again as it is."""

    user: str

    async def send(self, world: World) -> Result:
        """What the real service answers, in the model's words."""
        try:
            return await self._send(world)
        except SessionSettledError as error:
            return ("settled", error.extra["sessionStatus"])
        except (CreditsHeldError, InsufficientCreditsError) as error:
            word = "held" if isinstance(error, CreditsHeldError) else "insufficient"
            return (word, error.extra["available"], error.extra["required"])
        except tuple(_WORDS) as error:
            return (_WORDS[type(error)],)

    @abstractmethod
    async def _send(self, world: World) -> Result: ...

    @abstractmethod
    def apply(self, account: Account, world: World) -> Result:
        """What the model answers."""


@dataclass(frozen=True, kw_only=True)
class Give(Operation):
    """Allocate credits, for ever or for so many seconds."""

    key: str
    credits: int
    expires_at: float | None
    """By the world's clock; fixed when the operation is made, so that a repetition is one."""

    async def _send(self, world: World) -> Result:
        clock = world.bank.clock
        moment = None
        if self.expires_at is not None:
            start = clock.now() - timedelta(seconds=clock.monotonic())
            moment = start + timedelta(seconds=self.expires_at)
        grant = Grant(user_ids=(self.user,), credits=self.credits, expires_at=moment, note=None)
        [given] = await world.bank.context.credits.allocate(grant, actor_id="admin", key=self.key)
        world.ids.setdefault(self.key, given.id)
        return ("given", given.granted)

    def apply(self, account: Account, world: World) -> Result:
        """Likewise in the model."""
        return account.give(
            self.key,
            self.credits,
            self.expires_at,
            now=world.now,
            allocation_id=world.ids[self.key],
        )


@dataclass(frozen=True, kw_only=True)
class Revoke(Operation):
    """Take back what is left of the credits that were given under a key."""

    key: str
    given: str

    async def _send(self, world: World) -> Result:
        revoked = await world.bank.context.credits.revoke(
            world.ids[self.given], actor_id="admin", key=self.key
        )
        return ("revoked", revoked.revoked, revoked.held)

    def apply(self, account: Account, world: World) -> Result:  # noqa: ARG002 - as all have it
        """Likewise in the model."""
        return account.revoke(self.key, self.given)


@dataclass(frozen=True, kw_only=True)
class Reserve(Operation):
    """Initialize a stream."""

    name: str
    model_id: str
    tokens: tuple[int, int]

    async def _send(self, world: World) -> Result:
        request = reserve_request(
            self.user,
            self.name,
            model_ids=(self.model_id,),
            input_tokens=self.tokens[0],
            output_tokens=self.tokens[1],
            digest=f"{self.model_id} {self.tokens}",
        )
        reserved = await world.bank.context.streaming.initialize(request)
        return ("reserved", reserved.reserved)

    def apply(self, account: Account, world: World) -> Result:
        """Likewise in the model."""
        return account.reserve(self.name, self.model_id, self.tokens, now=world.now)


@dataclass(frozen=True, kw_only=True)
class Report(Operation):
    """A heartbeat."""

    name: str
    tokens: int

    async def _send(self, world: World) -> Result:
        report = ProgressReport(
            session_id=self.name, user_id=self.user, tokens_generated=self.tokens
        )
        reported = await world.bank.context.streaming.report_progress(report)
        return ("reported", reported.tokens_generated)

    def apply(self, account: Account, world: World) -> Result:  # noqa: ARG002 - as all have it
        """Likewise in the model."""
        return account.report(self.name, self.tokens)


@dataclass(frozen=True, kw_only=True)
class Finalize(Operation):
    """The end of a stream, with its usage."""

    name: str
    tokens: tuple[int, int]

    async def _send(self, world: World) -> Result:
        request = finalize_request(
            self.user, self.name, input_tokens=self.tokens[0], output_tokens=self.tokens[1]
        )
        return _settlement(await world.bank.context.streaming.settle(request))

    def apply(self, account: Account, world: World) -> Result:
        """Likewise in the model."""
        return account.finalize(self.name, self.tokens, now=world.now)


@dataclass(frozen=True, kw_only=True)
class Abort(Operation):
    """The end of a stream before its time, or of one that is not there yet."""

    name: str
    shown: int

    async def _send(self, world: World) -> Result:
        request = abort_request(self.user, self.name, output_tokens=self.shown)
        return _settlement(await world.bank.context.streaming.settle(request))

    def apply(self, account: Account, world: World) -> Result:
        """Likewise in the model."""
        return account.abort(self.name, self.shown, now=world.now)


@dataclass(frozen=True, kw_only=True)
class Track(Operation):
    """Usage outside streams."""

    key: str
    model_id: str
    tokens: int

    async def _send(self, world: World) -> Result:
        usage = TrackedUsage(
            user_id=self.user,
            model_id=self.model_id,
            input_tokens=self.tokens,
            output_tokens=0,
            unsplit_tokens=0,
            compute_seconds=0,
            chat_session_id=None,
            team_id=None,
            tier=None,
        )
        receipt = await world.bank.context.usage.track(usage, service_id="files", key=self.key)
        world.ids.setdefault(self.key, receipt.session_id)
        return ("tracked", receipt.credits)

    def apply(self, account: Account, world: World) -> Result:
        """Likewise in the model."""
        name = world.ids.get(self.key, self.key)
        return account.track(self.key, self.tokens, self.model_id, now=world.now, name=name)


def _settlement(reservation: Reservation) -> Result:
    settled = reservation.settlement
    assert settled is not None
    return (
        "settlement",
        reservation.status.value,
        settled.charged,
        settled.refund,
        settled.lapsed,
        settled.overrun,
    )
