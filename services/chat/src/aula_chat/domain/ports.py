"""What decisions need of the world outside, as Protocols."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from aula_chat.domain.models import Rate
from aula_chat.domain.streams import Reservation, Settlement, SettlementIntent


class CreditAccounts(Protocol):
    """Accounting, as seen from a stream; every call is idempotent by the stream's id."""

    async def reserve(
        self, stream_id: str, user_id: str, session_id: str, reservation: Reservation
    ) -> int:
        """Hold credits for a stream and answer the output tokens that it may have at most.

        ReservationRefusedError if there are not enough; UnavailableError if it was not answered
        (the credits may be held then).
        """
        ...

    async def report(self, stream_id: str, user_id: str, tokens: int) -> None:
        """Tell how many tokens have come. UnavailableError if it was not answered."""
        ...

    async def settle(
        self, stream_id: str, user_id: str, intent: SettlementIntent
    ) -> Settlement | None:
        """Settle by the intent; None if accounting knows no such reservation."""
        ...

    async def rates(self) -> Mapping[str, Rate]:
        """The rates in force, by model id. UnavailableError if it was not answered."""
        ...


class LogAppend(NamedTuple):
    """Frames to append to a stream's log; `number` is the last one's.

    `expected_top` is the number that the log must end with now, 0 for an empty one.
    """

    stream_id: str
    fence: int
    expected_top: int
    number: int
    data: bytes
    ttl_seconds: int


class LogAnswer(NamedTuple):
    """What became of an append: where the log ends now, and whether ours was taken."""

    accepted: bool
    top: int
    fenced: bool
    stop_asked: bool


class StreamLog(Protocol):
    """The streams' logs, from which any process reads; UnavailableError when it is away."""

    async def append(self, appends: Sequence[LogAppend]) -> list[LogAnswer | None]:
        """Append to many logs in one round trip; one's refusal does not touch another.

        None for a log that gave no answer, while others did.
        """
        ...

    async def read(self, positions: Mapping[str, int]) -> dict[str, list[bytes]]:
        """The frames after each position, by stream, in one round trip; gaps show by number."""
        ...

    async def raise_fence(self, stream_id: str, fence: int, *, ttl_seconds: int) -> None:
        """Refuse appends under lower fences from now on."""
        ...

    async def ask_stop(self, stream_id: str, *, ttl_seconds: int) -> None:
        """Have the next append's answer say that a stop was asked for."""
        ...

    async def delete(self, stream_ids: Sequence[str]) -> None:
        """Forget the frames of these; their fences stay, so that no sleeper writes them again."""
        ...
