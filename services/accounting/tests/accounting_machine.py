"""A machine that does anything in any order, alone and at once, and compares with the model."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import asyncpg
from accounting_invariants import broken_invariants, check_append_only
from accounting_model import LEASE, RATES, Account, Result
from accounting_operations import (
    Abort,
    Finalize,
    Give,
    Operation,
    Report,
    Reserve,
    Revoke,
    Track,
    World,
)
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

_MODELS = tuple(RATES)
_REPEATED = 4
_LIVES = (None, None, 30, 200, 400)


@dataclass(frozen=True)
class Recipe:
    """What to do, by kind and numbers: the machine makes an operation of it where it stands."""

    kind: str
    user: int
    pick: int
    some: int
    more: int


_KINDS = (
    *("give",) * 3,
    *("reserve",) * 6,
    *("finalize",) * 4,
    *("report",) * 2,
    *("abort",) * 2,
    *("again",) * 3,
    "revoke",
    "track",
    "abort first",
    "reserve under a known id",
)
_RECIPES = st.builds(
    Recipe,
    st.sampled_from(_KINDS),
    st.integers(0, 1),
    st.integers(0, 30),
    st.integers(0, 40),
    st.integers(0, 40),
)


@dataclass
class Bench:
    """What the sequences share: the service, its loop, what was accepted, a source of names."""

    world: World
    runner: asyncio.Runner
    connection: asyncpg.Connection
    accepted: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=count)


def machine_of(bench: Bench) -> type[RuleBasedStateMachine]:
    """The machine's class, on that bench."""

    class Books(RuleBasedStateMachine):
        """One sequence: two users of its own."""

        @initialize()
        def open(self) -> None:
            self.name = f"{next(bench.numbers):05}"
            self.users = tuple(f"usr_{self.name}_{letter}" for letter in "ab")
            self.accounts = {user: Account() for user in self.users}
            self.names: dict[str, list[str]] = {user: [] for user in self.users}
            self.given: dict[str, list[str]] = {user: [] for user in self.users}
            self.sent: dict[str, list[Operation]] = {user: [] for user in self.users}
            self.steps = count()

        @rule(recipe=_RECIPES)
        def one(self, recipe: Recipe) -> None:
            """One request."""
            self._do([self._make(recipe)], sweeps=0)

        @rule(recipes=st.lists(_RECIPES, min_size=1, max_size=2))
        def one_after_the_other(self, recipes: list[Recipe]) -> None:
            """Requests in turn."""
            for recipe in recipes:
                self._do([self._make(recipe)], sweeps=0)

        @rule(recipes=st.lists(_RECIPES, min_size=2, max_size=3), sweeps=st.integers(0, 1))
        def many_at_once(self, recipes: list[Recipe], sweeps: int) -> None:
            """Requests at once, and a sweeper beside them."""
            bench.accepted["at once"] += 1
            self._do([self._make(recipe) for recipe in recipes], sweeps=sweeps)

        @rule(recipe=_RECIPES, copies=st.integers(2, 3))
        def the_same_at_once(self, recipe: Recipe, copies: int) -> None:
            """One request several times at once: one effect, and one answer."""
            bench.accepted["the same at once"] += 1
            self._do([self._make(recipe)] * copies, sweeps=0)

        @rule(seconds=st.sampled_from((1, 31, 150, LEASE)))
        def time_passes(self, seconds: int) -> None:
            """The clock moves, for the service and for the model."""
            bench.world.bank.clock.advance(seconds)

        @rule()
        def sweep(self) -> None:
            """A sweeper comes by, alone: it does all that is due."""
            bench.runner.run(bench.world.bank.context.sweeper.sweep())
            for user, account in self.accounts.items():
                bench.accepted["swept"] += account.sweep(now=bench.world.now)
                bench.accepted["expired"] += account.expire(now=bench.world.now)
                stored, modelled = bench.runner.run(_stored(bench, user)), account.snapshot()
                assert stored == modelled, f"stored {stored}, modelled {modelled}"

        def teardown(self) -> None:
            """Bring everything to rest, then ask the database itself."""
            if not hasattr(self, "accounts"):
                return
            bench.world.bank.clock.advance(LEASE)
            self.sweep()
            self._nothing_moves_any_more()
            broken = bench.runner.run(broken_invariants(bench.connection, self.users))
            assert broken == {}
            bench.runner.run(check_append_only(bench.connection))

        def _nothing_moves_any_more(self) -> None:
            """7 and 9: what is sent once more is answered, and the ledger stays as it is."""
            entries = "SELECT count(*) FROM ledger_entries WHERE user_id = ANY ($1)"
            before = bench.runner.run(bench.connection.fetchval(entries, list(self.users)))
            for user, account in self.accounts.items():
                ends = [
                    Finalize(user=user, name=name, tokens=(9_000, 9_000))
                    for name in account.sessions
                ]
                repeated = [*ends[-_REPEATED:], *self._keyed(user)[-_REPEATED:]]
                answers = bench.runner.run(_at_once(bench, repeated, 0))
                expected = [operation.apply(account, bench.world) for operation in repeated]
                assert answers == expected, f"answered {answers}, expected {expected}"
            after = bench.runner.run(bench.connection.fetchval(entries, list(self.users)))
            assert after == before

        def _keyed(self, user: str) -> list[Operation]:
            answered = self.accounts[user].answers
            return [
                operation
                for operation in self.sent[user]
                if isinstance(operation, Give | Revoke | Track) and operation.key in answered
            ]

        def _make(self, recipe: Recipe) -> Operation:
            user = self.users[recipe.user]
            kind = recipe.kind
            if kind == "again" and self.sent[user]:
                return self.sent[user][recipe.pick % len(self.sent[user])]
            operation = self._new(kind, user, recipe)
            self.sent[user].append(operation)
            return operation

        def _new(self, kind: str, user: str, recipe: Recipe) -> Operation:  # noqa: PLR0911 - one a kind
            given, known = self.given[user], self._known(user, recipe)
            model_id = _MODELS[recipe.pick % len(_MODELS)]
            tokens = (recipe.some * 25, recipe.more * 50 + 1)
            match kind:
                case "reserve":
                    return Reserve(
                        user=user, name=self._name("str", user), model_id=model_id, tokens=tokens
                    )
                case "reserve under a known id":
                    return Reserve(user=user, name=known, model_id=model_id, tokens=tokens)
                case "finalize":
                    return Finalize(user=user, name=known, tokens=tokens)
                case "report":
                    return Report(user=user, name=known, tokens=tokens[1])
                case "abort":
                    return Abort(user=user, name=known, shown=recipe.some * 40)
                case "abort first":
                    return Abort(user=user, name=self._name("str", user), shown=recipe.some)
                case "track":
                    key = self._name("use", user, listed=False)
                    return Track(user=user, key=key, model_id=model_id, tokens=sum(tokens))
                case "revoke" if given:
                    key = self._name("rev", user, listed=False)
                    return Revoke(user=user, key=key, given=given[recipe.pick % len(given)])
                case _:
                    return self._give(user, recipe)

        def _known(self, user: str, recipe: Recipe) -> str:
            """A session's name: mostly one that runs, else any, else a new one."""
            running = [
                name
                for name, session in self.accounts[user].sessions.items()
                if session.status == "active" and name in self.names[user]
            ]
            names = running if running and recipe.pick % 4 else self.names[user]
            return names[-1 - recipe.pick % len(names)] if names else self._name("str", user)

        def _give(self, user: str, recipe: Recipe) -> Give:
            lives = _LIVES[recipe.pick % len(_LIVES)]
            return Give(
                user=user,
                key=self._name("giv", user, listed=False),
                credits=1 + 2 * recipe.some + recipe.more,
                expires_at=None if lives is None else bench.world.now + lives,
            )

        def _name(self, prefix: str, user: str, *, listed: bool = True) -> str:
            name = f"{prefix}_{user}_{next(self.steps)}"
            if listed:
                self.names[user].append(name)
            return name

        def _do(self, operations: Sequence[Operation], *, sweeps: int) -> None:
            """Send all at once; what came of it is what some order of them would have made."""
            answers = bench.runner.run(_at_once(bench, operations, sweeps))
            for operation, answer in zip(operations, answers, strict=True):
                bench.accepted[answer[0]] += 1
                if isinstance(operation, Give) and operation.key not in self.given[operation.user]:
                    self.given[operation.user].append(operation.key)
            for user in {operation.user for operation in operations} if not sweeps else self.users:
                mine = [
                    (operation, answer)
                    for operation, answer in zip(operations, answers, strict=True)
                    if operation.user == user
                ]
                self._follow(user, mine, sweeps=sweeps)

        def _follow(
            self, user: str, mine: Sequence[tuple[Operation, Result]], *, sweeps: int
        ) -> None:
            account = self.accounts[user]
            steps: list[Step] = [*mine, *(_due(account, bench.world) if sweeps else ())]
            alone = len(steps) == 1 and bool(mine)  # then the answer says it all
            stored = None if alone else bench.runner.run(_stored(bench, user))
            explained = _explain(account, steps, stored, bench.world)
            assert explained, f"no order explains {steps}: stored {stored}, model {account}"
            self.accounts[user] = explained

    return Books


Step = tuple[Operation, Result] | str
"""A request with its answer, or a part of a sweep."""


def _due(account: Account, world: World) -> list[Step]:
    """The parts of a sweep that would do something now. Nothing becomes due but by time."""
    tried = account.clone()
    parts: list[Step] = ["settle"] if tried.sweep(now=world.now) else []
    return [*parts, "expire"] if tried.expire(now=world.now) else parts


def _explain(account: Account, steps: Sequence[Step], stored: Any, world: World) -> Account | None:
    """The account after some order of the steps that gives these answers and what is stored.

    A sweeper leaves out accounts that somebody has locked, so its parts need not happen.
    """
    if all(isinstance(step, str) for step in steps) and stored in (None, account.snapshot()):
        return account
    for number, step in enumerate(steps):
        if step in steps[:number]:
            continue
        after = account.clone()
        if _told(after, step, world):
            others = [*steps[:number], *steps[number + 1 :]]
            if found := _explain(after, others, stored, world):
                return found
    return None


def _told(account: Account, step: Step, world: World) -> bool:
    if isinstance(step, str):
        return bool((account.sweep if step == "settle" else account.expire)(now=world.now))
    operation, answer = step
    return operation.apply(account, world) == answer


async def _at_once(bench: Bench, operations: Sequence[Operation], sweeps: int) -> list[Result]:
    sweeping = [bench.world.bank.context.sweeper.sweep() for _ in range(sweeps)]
    results = await asyncio.gather(
        *(operation.send(bench.world) for operation in operations), *sweeping
    )
    return [result for result in results if isinstance(result, tuple)]


async def _stored(bench: Bench, user: str) -> Any:
    """The user's allocations and sessions as the model shows them."""
    allocations = await bench.connection.fetch(
        "SELECT id, granted, remaining, held, charged, lapsed, revoked FROM allocations "
        "WHERE user_id = $1",
        user,
    )
    sessions = await bench.connection.fetch(
        "SELECT session_id, status, reserved, coalesce(charged, 0), coalesce(lapsed, 0), "
        "coalesce(overrun, 0), tokens_generated, source_ids, source_amounts "
        "FROM reservations WHERE user_id = $1",
        user,
    )
    return tuple({row[0]: tuple(row)[1:] for row in rows} for rows in (allocations, sessions))
