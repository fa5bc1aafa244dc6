"""Walks through the rounds of a schedule, and checks after each that everything holds."""

import time
from collections.abc import Callable

from soak.conversation import Conversation, together
from soak.faults import arm, inject
from soak.schedule import DECK, REPLICAS, Round, Schedule
from soak.world import World

_ROUNDS_FOR_EVERYTHING = 2 * len(DECK)


class Walk:
    """A soak of one seed. `report` is told a line for each round."""

    def __init__(self, world: World, seed: int, *, report: Callable[[str], None]) -> None:
        self._world = world
        self._seed = seed
        self._report = report
        self._asked = 0
        self._rounds = 0

    async def run(self, *, minutes: float, rounds: int, first: int) -> None:
        """Begin no round after so many minutes or rounds; the rounds before `first` are left out.

        AssertionError, with the round and the seed, for the first promise that does not hold.
        """
        ends = time.monotonic() + minutes * 60
        for each in Schedule(self._seed).rounds():
            if each.number < first:
                continue
            if time.monotonic() >= ends or (rounds and self._rounds >= rounds):
                break
            await self._round(each)
        self._check_counts()

    async def _round(self, now: Round) -> None:
        where = f"seed {self._seed}, round {now.number}, {now.strike}"
        world, began = self._world, time.monotonic()
        try:
            conversations = [
                Conversation(world, await world.scene(student), question)
                for student, question in zip(world.students, now.questions, strict=False)
            ]
            world.shown, world.running = 0, len(conversations)
            arm(world, now.strike)
            await together([inject(world, now.strike), *map(self._converse, conversations)])
            await world.come_to_rest()
            # neither it nor who writes it failed
            log_kept = now.strike.victim not in {"redis", *REPLICAS}
            for conversation in conversations:
                await conversation.check(where, log_kept=log_kept)
        except AssertionError as broken:
            message = str(broken)
            raise AssertionError(
                message if message.startswith(where) else f"{where}: {message}"
            ) from broken
        self._rounds += 1
        self._asked += len(conversations)
        seconds = time.monotonic() - began
        self._report(
            f"{now.number:4} {now.strike!s:32} {len(conversations)} streams, {seconds:5.1f} s"
        )

    async def _converse(self, conversation: Conversation) -> None:
        try:
            await conversation.run()
        finally:
            self._world.running -= 1

    def _check_counts(self) -> None:
        """A soak in which too little happened has shown nothing."""
        counts = self._world.counts
        struck = sum(count for name, count in counts.items() if name.startswith("fault: "))
        assert self._rounds > 0, "no round was run"
        missed = counts["strikes missed"]
        assert struck + missed == self._rounds, f"{struck} faults in {self._rounds} rounds"
        assert missed <= max(1, self._rounds // 10), f"{missed} strikes missed"
        assert counts["streams"] == self._asked >= 2 * self._rounds, counts
        assert counts["resumes"] >= self._asked, counts
        if self._rounds >= _ROUNDS_FOR_EVERYTHING:
            for name in ("stops", "observed", "recovered", "degraded", "settled late"):
                assert counts[name] > 0, f"none {name}"
