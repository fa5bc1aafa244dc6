"""Prices and holds."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from aula_accounting.domain.rates import Rate, Tokens, hold_for, price

_counts = st.integers(min_value=0, max_value=10**12)
_rates = st.decimals(min_value=0, max_value=10**6, places=6)


def _rate(input_rate: Decimal | str | int, output_rate: Decimal | str | int) -> Rate:
    return Rate(
        model_id="m",
        input_rate=Decimal(input_rate),
        output_rate=Decimal(output_rate),
        starts_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_price_is_rounded_up_once_over_both_sides() -> None:
    tokens = Tokens(input=100, output=100)
    assert price(tokens, _rate("0.3", "0.3")) == 1  # .06, and not 1 + 1
    assert price(Tokens(input=1000, output=1000), _rate(3, 15)) == 18
    assert price(Tokens(input=1001, output=1000), _rate(3, 15)) == 19


def test_no_tokens_cost_nothing() -> None:
    assert price(Tokens(), _rate(15, 15)) == 0


def test_unsplit_tokens_cost_the_dearer_side() -> None:
    assert price(Tokens(unsplit=1000), _rate(3, 15)) == 15
    assert price(Tokens(unsplit=1000), _rate(15, 3)) == 15


def test_a_hair_above_a_whole_credit_costs_the_next_one() -> None:
    assert price(Tokens(input=10**12), _rate("0.000001", 0)) == 1000
    assert price(Tokens(input=10**12 + 1), _rate("0.000001", 0)) == 1001


@given(_counts, _counts, _counts, _rates, _rates)
def test_price_is_the_least_whole_number_not_below_the_exact_price(
    inputs: int, outputs: int, unsplit: int, input_rate: Decimal, output_rate: Decimal
) -> None:
    charged = price(
        Tokens(input=inputs, output=outputs, unsplit=unsplit), _rate(input_rate, output_rate)
    )
    exact = (
        inputs * Fraction(input_rate)
        + outputs * Fraction(output_rate)
        + unsplit * max(Fraction(input_rate), Fraction(output_rate))
    ) / 1000
    assert charged - 1 < exact <= charged


@given(st.integers(min_value=0, max_value=10**15))
def test_hold_is_a_fifth_more_rounded_up(estimate: int) -> None:
    assert hold_for(estimate) == math.ceil(Fraction(12, 10) * estimate)
