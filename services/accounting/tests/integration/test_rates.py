"""Rates begin when they were said to; what has begun never changes."""

from datetime import timedelta
from decimal import Decimal
from subprocess import CompletedProcess

import pytest
from accounting_builders import SONNET, Bank
from accounting_command import accounting

from aula_accounting.domain.rates import Rate
from aula_common.errors import InvalidFieldError


async def _put(bank: Bank, number: int, *, after: float) -> None:
    rate = Rate(
        model_id=SONNET,
        input_rate=Decimal(number),
        output_rate=Decimal(number),
        starts_at=bank.clock.now() + timedelta(seconds=after),
    )
    await bank.context.rates.put([(rate, False)], actor_id="admin")


async def test_a_rate_to_come_holds_from_its_moment_and_for_new_streams_alone(bank: Bank) -> None:
    await bank.give("usr_a", 1000)
    await _put(bank, 30, after=60)
    await bank.reserve("usr_a", "str_before")
    bank.clock.advance(59)
    assert (await bank.reserve("usr_a", "str_still")).reserved == 4
    bank.clock.advance(1)
    assert (await bank.reserve("usr_a", "str_after")).reserved == 36
    for name, charged in (("before", 3), ("still", 3), ("after", 30)):
        settled = await bank.finalize("usr_a", f"str_{name}", output_tokens=1000)
        assert settled.settlement is not None
        assert settled.settlement.charged == charged
    assert await bank.discrepancies() == []


async def test_a_rate_to_come_may_be_replaced_and_one_that_began_may_not(bank: Bank) -> None:
    await _put(bank, 30, after=60)
    await _put(bank, 20, after=60)
    with pytest.raises(InvalidFieldError, match="past"):
        await _put(bank, 1, after=-1)
    bank.clock.advance(60)
    [now] = await bank.context.rates.list_current(model_id=SONNET)
    assert now.input_rate == 20
    history = await bank.context.rates.list_history(model_id=SONNET)
    assert [rate.input_rate for rate in history] == [20, 3]


async def test_rates_are_put_all_or_none(bank: Bank) -> None:
    first = Rate(
        model_id="m", input_rate=Decimal(1), output_rate=Decimal(1), starts_at=bank.clock.now()
    )
    with pytest.raises(InvalidFieldError, match="twice"):
        await bank.context.rates.put([(first, True), (first, True)], actor_id="admin")
    assert await bank.context.rates.list_history(model_id="m") == []


def _rates(url: str, *words: str) -> CompletedProcess[str]:
    return accounting(url, "rates", *words)


async def test_the_command_shows_and_sets_rates(bank: Bank) -> None:
    shown = _rates(bank.url)
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) == 6
    assert f"{SONNET} input 3 output 3 from 2026-01-01T00:00:00+00:00" in shown.stdout
    now = _rates(bank.url, SONNET, "--input", "2.5", "--output", "4")
    assert now.stdout.startswith(f"{SONNET} input 2.5 output 4 from "), now.stderr
    later = ("--input", "9", "--output", "9", "--starts-at", "2999-01-01T00:00:00")
    listed = _rates(bank.url, SONNET, *later).stdout.splitlines()
    assert [line.split()[2] for line in listed] == ["9", "2.5", "3"]
    assert listed[0].endswith("from 2999-01-01T00:00:00+00:00")
    assert _rates(bank.url, SONNET).stdout == now.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--input", "1", "--output", "1"),
        (SONNET, "--input", "1"),
        (SONNET, "--input", "NaN", "--output", "1"),
        (SONNET, "--input", "-1", "--output", "1"),
        (SONNET, "--input", "1e7", "--output", "1"),
        (SONNET, "--input", "0.0000001", "--output", "1"),
        (SONNET, "--input", "1", "--output", "1", "--starts-at", "2020-01-01"),
    ],
)
async def test_the_command_refuses_odd_rates(bank: Bank, words: tuple[str, ...]) -> None:
    refused = _rates(bank.url, *words)
    assert refused.returncode == 2, refused.stdout
    assert "Traceback" not in refused.stderr
    assert len(await bank.context.rates.list_history(model_id=SONNET)) == 1
