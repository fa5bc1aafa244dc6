"""Rates, and what tokens cost at them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

LARGEST_RATE = Decimal(1_000_000)
RATE_PLACES = 6  # digits after the point that a rate may have


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a model costs from a moment on: credits per 1,000 tokens, input and output apart."""

    model_id: str
    input_rate: Decimal
    output_rate: Decimal
    starts_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens by side; `unsplit` are those whose side is unknown, priced at the dearer rate."""

    input: int = 0
    output: int = 0
    unsplit: int = 0


def price(tokens: Tokens, rate: Rate) -> int:
    """Whole credits for the tokens, rounded up once at the end. Exact at any size.

    The database's `price_credits` is the same formula, for where one round trip must do.
    """
    dearer = max(rate.input_rate, rate.output_rate)
    thousandfold = (
        tokens.input * Fraction(rate.input_rate)
        + tokens.output * Fraction(rate.output_rate)
        + tokens.unsplit * Fraction(dearer)
    )
    return -int(-thousandfold // 1000)


def hold_for(estimate: int) -> int:
    """What is held for an estimate: a fifth more, rounded up."""
    return (6 * estimate + 4) // 5
