"""What a soak does: round by round, all of it decided by the seed.

Nothing here looks at a clock or at what happened, so the same seed always gives the same rounds.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

REPLICAS = ("chat", "chat-2")
PLACES = ("reserved", "asked", "chunk", "answered", "stored", "settled")
# what is done to whom; each is dealt once before any comes again
DECK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kill", REPLICAS),
    ("kill at", REPLICAS),
    ("kill at", REPLICAS),  # it strikes exactly, so it comes more often
    ("freeze", REPLICAS),
    ("freeze past lease", REPLICAS),
    ("freeze at", REPLICAS),
    ("terminate", REPLICAS),
    ("kill", ("accounting",)),
    ("freeze", ("accounting",)),
    ("terminate", ("accounting",)),
    ("kill", ("postgres",)),
    ("freeze", ("postgres",)),
    ("terminate", ("postgres",)),
    ("kill", ("redis",)),
    ("freeze", ("redis",)),
    ("flush", ("redis",)),
    ("restore", ("redis",)),
    ("kill", ("mongo",)),
    ("freeze", ("mongo",)),
    ("misbehave", ("bedrock",)),
)
STUDENTS = 4
SHORT_OF_LEASE = 1.5
PAST_LEASE = 9.0
"""Seconds; the soak's lease is 4, and its grace and a sweep come on top."""
_SECONDS = (0.0, 0.5, 2.0, 5.0)
_TOKENS = (1, 8, 30, 60, 120)
_PACES = (0, 10, 25, 50)
_AMID = ("cut", "end", "error", "stall", "bad-crc")
_AT_FIRST = ("throttled", "overloaded", "internal", "drop", "model-error", "not-ready")
_COUNTING = ("no-usage", "usage-twice", "usage-absurd", "zero-usage")


@dataclass(frozen=True)
class Reader:
    """How one reader reads.

    It joins once the answer has come to the number `joins_at`, to read on from there. Its n-th
    connection goes to the n-th of `replicas`, around and around, and is left after the n-th of
    `leaves` events (None: it stays).
    """

    joins_at: int
    replicas: tuple[str, ...]
    leaves: tuple[int | None, ...]


@dataclass(frozen=True)
class Question:
    """One stream: what is asked, who reads it, after how many events it is stopped, and where."""

    message: str
    readers: tuple[Reader, ...]
    stop: tuple[int, str] | None
    observed: bool


@dataclass(frozen=True)
class Strike:
    """One fault: after how many events of the round it strikes, and for how many seconds.

    At a `place` it strikes when the victim next comes there.
    """

    action: str
    victim: str
    after: int
    seconds: float
    place: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.action, self.place, self.victim)))

    @property
    def kind(self) -> str:
        """The same for either replica and any place."""
        return f"{self.action} {'chat' if self.victim in REPLICAS else self.victim}"


@dataclass(frozen=True)
class Round:
    """Streams that run at once, and the one fault amid them."""

    number: int
    questions: tuple[Question, ...]
    strike: Strike


class Schedule:
    """The rounds of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be repeated, not kept secret
        self._deck: list[tuple[str, tuple[str, ...]]] = []

    def rounds(self) -> Iterator[Round]:
        """Without end."""
        number = 0
        while True:
            number += 1
            strike = self._strike()
            count = self._random.randint(2, STUDENTS)
            questions = [self._question(strike, first=index == 0) for index in range(count)]
            yield Round(number, tuple(questions), strike)

    def _strike(self) -> Strike:
        if not self._deck:
            self._deck = list(DECK)
            self._random.shuffle(self._deck)
        action, victims = self._deck.pop()
        seconds = self._random.choice(_SECONDS)
        if action == "freeze" and victims == REPLICAS:
            seconds = SHORT_OF_LEASE
        elif action in {"freeze past lease", "freeze at"}:
            seconds = PAST_LEASE
        return Strike(
            action=action,
            victim=self._random.choice(victims),
            after=self._random.choice((0, 5, 20, 60)),
            seconds=seconds,
            place=self._random.choice(PLACES) if action.endswith("at") else None,
        )

    def _question(self, strike: Strike, *, first: bool) -> Question:
        tokens = self._random.choice(_TOKENS)
        # the first one is long enough to be hit, and is written by the victim
        tokens = max(tokens, 120) if first else tokens
        owner = strike.victim if first and strike.victim in REPLICAS else self._replica()
        readers = [self._reader(owner, 0)]
        readers += [
            self._reader(self._replica(), self._random.randint(1, tokens))
            for _ in range(self._random.randrange(3))
        ]
        stops = self._random.random() < 0.2 and strike.place is None
        return Question(
            message=self._message(tokens, misbehaving=strike.action == "misbehave", first=first),
            readers=tuple(readers),
            stop=(self._random.randint(1, tokens), self._replica()) if stops else None,
            observed=self._random.random() < 0.4,
        )

    def _message(self, tokens: int, *, misbehaving: bool, first: bool) -> str:
        pace = self._random.choice(_PACES)
        pace = max(pace, 25) if first else pace
        directives = [f"tokens={tokens} pace={pace}"]
        if misbehaving:
            at = self._random.randrange(tokens)
            directives.append(
                self._random.choice(
                    [*(f"fault={kind}@{at}" for kind in _AMID), *_AT_FIRST, *_COUNTING]
                )
            )
        return f"Tell me story {self._random.randrange(10**6)}. " + " ".join(
            f"[[{directive}]]" for directive in directives
        )

    def _reader(self, first_replica: str, joins_at: int) -> Reader:
        others = tuple(self._replica() for _ in range(4))
        leaves = [self._random.choice((1, 3, 10, 30)) for _ in range(self._random.randrange(4))]
        return Reader(joins_at, (first_replica, *others, *REPLICAS), (*leaves, None))

    def _replica(self) -> str:
        return self._random.choice(REPLICAS)
