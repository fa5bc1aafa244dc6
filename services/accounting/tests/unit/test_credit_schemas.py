"""What allocations, checks and rates accept."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from aula_accounting.api.schemas.credits import AllocateRequest, CheckRequest
from aula_accounting.api.schemas.rates import RateInput, RateView


def test_one_user_or_several_in_the_order_given() -> None:
    one = AllocateRequest.model_validate({"userId": "a", "credits": 1}).to_grant()
    several = AllocateRequest.model_validate({"userIds": ["b", "a"], "credits": 1}).to_grant()
    assert (one.user_ids, several.user_ids) == (("a",), ("b", "a"))


@pytest.mark.parametrize(
    "fields",
    [
        {"credits": 1},
        {"userId": "a", "userIds": ["b"], "credits": 1},
        {"userIds": [], "credits": 1},
        {"userIds": ["a", "a"], "credits": 1},
        {"userIds": "ab", "credits": 1},
        {"userId": "a"},
        {"userId": "a", "credits": 0},
        {"userId": "a", "credits": -5},
        {"userId": "a", "credits": 1.0},
        {"userId": "a", "credits": True},
        {"userId": "a", "credits": "1"},
        {"userId": "a", "credits": 2**63},
        {"userId": "a", "credits": 10**12 + 1},
        {"userId": "a", "credits": 1, "expiresAt": 1_900_000_000},
        {"userId": "a", "credits": 1, "expiresAt": "1900000000"},
        {"userId": "a", "credits": 1, "expiresAt": "2030-01-01 00:00:00Z"},
        {"userId": "a", "credits": 1, "expiresAt": "2030-01-01T00:00:00"},
        {"userId": "a", "credits": 1, "expiresAt": "9999-12-31T23:59:59-12:00"},
        {"userId": "a", "credits": 1, "expiresAt": "0001-01-01T00:00:00+12:00"},
        {"userId": "a", "credits": 1, "note": "x" * 501},
        {"userId": {"$ne": None}, "credits": 1},
        {"userId": "a", "credits": 1, "createdBy": "b"},
    ],
)
def test_an_unclear_or_absurd_grant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AllocateRequest.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"modelId": "m"},
        {"estimatedTokens": 1},
        {"credits": 1, "modelId": "m", "estimatedTokens": 1},
        {"credits": 1, "modelId": "m"},
        {"credits": -1},
    ],
)
def test_an_unclear_check_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CheckRequest.model_validate(fields)


@pytest.mark.parametrize(
    "rate",
    [
        *(True, -1, "NaN", "Infinity", "1e7", "0.0000001", None, "", [1]),
        *("1e2", " 1", "1_0", "+1", "\u0661", ".5", "1.", "1000000.000001"),  # no plain number
    ],
)
def test_an_absurd_rate_is_refused(rate: object) -> None:
    with pytest.raises(ValidationError):
        RateInput.model_validate({"modelId": "m", "inputRate": rate, "outputRate": 1})


def test_a_rate_is_exact_from_text_and_from_a_number() -> None:
    for given in ("0.25", 0.25):
        read = RateInput.model_validate({"modelId": "m", "inputRate": given, "outputRate": 1})
        assert read.input_rate == Decimal("0.25")


def test_rates_are_shown_as_plain_decimal_text() -> None:
    shown = RateView.model_validate(
        {
            "modelId": "m",
            "inputRate": Decimal("100.000000"),
            "outputRate": Decimal("0.250000"),
            "startsAt": "2026-01-01T00:00:00Z",
        }
    ).model_dump(mode="json")
    assert (shown["inputRate"], shown["outputRate"]) == ("100", "0.25")
