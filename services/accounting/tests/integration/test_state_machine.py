"""Anything in any order and at once agrees with a plain model, and the invariants hold after it."""

import asyncio
from collections import Counter

import asyncpg
import pytest
import uvloop
from accounting_builders import open_bank, plain_url
from accounting_machine import Bench, machine_of
from accounting_model import RUNNING_LIMIT
from accounting_operations import World
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.pool import AsyncAdaptedQueuePool

_STEPS = 50
# for each sequence of fifty steps, this many of each at least: a machine that does nothing fails
_LEAST: dict[str, float] = {
    "given": 3,
    "reserved": 3,
    "settlement": 3,
    "reported": 0.5,
    "tracked": 0.5,
    "revoked": 0.4,
    "swept": 0.4,
    "expired": 0.3,
    "settled": 0.5,
    "conflict": 0.1,
    "insufficient": 2,
    "held": 0.02,
    "too_many": 0.2,
    "already": 0.05,
    "at once": 2.5,
    "the same at once": 2.5,
}


def _run(url: str, sequences: int, *, anew: bool) -> Counter[str]:
    """What was accepted in so many sequences: new ones, or always the same."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        opened = open_bank(url, streams=RUNNING_LIMIT)
        bank = runner.run(opened.__aenter__())
        connection = runner.run(asyncpg.connect(plain_url(url)))
        try:
            bench = Bench(World(bank), runner, connection)
            run_state_machine_as_test(
                machine_of(bench),
                settings=settings(
                    max_examples=sequences,
                    stateful_step_count=_STEPS,
                    deadline=None,
                    database=None,
                    derandomize=not anew,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                ),
            )
            assert runner.run(bank.discrepancies()) == []
            pool = bank.context.engine.pool
            assert isinstance(pool, AsyncAdaptedQueuePool)
            assert pool.checkedout() == 0  # 11: the pool is whole
        finally:
            runner.run(connection.close())
            runner.run(opened.__aexit__(None, None, None))
    return bench.accepted


def _check_enough(accepted: Counter[str], sequences: int) -> None:
    too_few = {
        what: accepted[what] for what, least in _LEAST.items() if accepted[what] < least * sequences
    }
    assert too_few == {}, accepted


def test_500_sequences_of_50_steps_agree_with_the_model(postgres_database: str) -> None:
    # the same ones each time, so that who sees it fail knows that his change did it
    _check_enough(_run(postgres_database, 500, anew=False), 500)


@pytest.mark.deep
def test_5000_sequences_of_50_steps_agree_with_the_model(postgres_database: str) -> None:
    _check_enough(_run(postgres_database, 5_000, anew=True), 5_000)
