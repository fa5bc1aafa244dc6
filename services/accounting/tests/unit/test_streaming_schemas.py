"""What initialize, finalize and abort accept, and what they ask for."""

from typing import Any

import pytest
from pydantic import ValidationError

from aula_accounting.api.schemas.streaming import (
    AbortRequest,
    FinalizeRequest,
    InitializeRequest,
)
from aula_accounting.domain.streaming import ReservationStatus

_IDS = {"sessionId": "str_1", "userId": "usr_1"}


def _initialize(**fields: Any) -> InitializeRequest:
    return InitializeRequest.model_validate({**_IDS, "modelId": "m", **fields})


def test_output_allowance_is_two_thousand_unless_given() -> None:
    assert _initialize(inputTokens=10).to_request("chat").max_output_tokens == 2000
    assert _initialize(inputTokens=10, maxOutputTokens=7).to_request("chat").output_tokens == 7


def test_a_single_estimate_covers_both_sides() -> None:
    request = _initialize(estimatedTokens=5000).to_request("chat")
    assert (request.input_tokens, request.output_tokens, request.unsplit_tokens) == (0, 0, 5000)
    assert request.max_output_tokens == 2000
    assert _initialize(estimatedTokens=300).to_request("chat").max_output_tokens == 300


def test_an_omitted_default_is_the_same_request_as_the_default_given() -> None:
    omitted = _initialize(inputTokens=10).to_request("chat")
    given = _initialize(inputTokens=10, maxOutputTokens=2000).to_request("chat")
    assert omitted.digest == given.digest


@pytest.mark.parametrize(
    "change",
    [{"inputTokens": 11}, {"modelId": "n"}, {"chatSessionId": "ses_1"}, {"maxOutputTokens": 1}],
)
def test_any_other_field_is_another_request(change: dict[str, Any]) -> None:
    first = _initialize(inputTokens=10).to_request("chat")
    assert _initialize(**{"inputTokens": 10, **change}).to_request("chat").digest != first.digest


def test_a_model_named_twice_is_held_for_once() -> None:
    request = _initialize(inputTokens=1, fallbackModelIds=["n", "m", "n"]).to_request("chat")
    assert request.model_ids == ("m", "n")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"inputTokens": 1, "estimatedTokens": 1},
        {"estimatedTokens": 1, "maxOutputTokens": 1},
        {"estimatedTokens": 0},
        {"inputTokens": 1, "maxOutputTokens": 0},
        {"inputTokens": -1},
        {"inputTokens": 1.0},
        {"inputTokens": True},
        {"inputTokens": "1"},
        {"inputTokens": 2**63},
        {"inputTokens": float("nan")},
        {"inputTokens": 1, "surprise": 1},
        {"inputTokens": 1, "user_id": "usr_2"},
        {"inputTokens": 1, "sessionId": "a b"},
        {"inputTokens": 1, "sessionId": "a\0"},
        {"inputTokens": 1, "modelId": ""},
        {"inputTokens": 1, "fallbackModelIds": ["x"] * 11},
    ],
)
def test_an_unclear_or_absurd_initialize_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _initialize(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"inputTokens": 1},
        {"outputTokens": 1},
        {"actualTokens": 1, "inputTokens": 1, "outputTokens": 1},
        {"actualTokens": -1},
        {"actualTokens": 1.5},
        {"actualTokens": 2**63},
        {"actualTokens": 1, "success": "true"},
        {"actualTokens": 1, "duration": -1},
    ],
)
def test_an_unclear_or_absurd_finalize_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FinalizeRequest.model_validate({**_IDS, **fields})


def test_a_failed_stream_is_settled_like_any_other_but_for_its_status() -> None:
    body = {**_IDS, "inputTokens": 1, "outputTokens": 2, "success": False}
    request = FinalizeRequest.model_validate(body).to_request("chat")
    assert request.status is ReservationStatus.FAILED
    assert (request.input_tokens, request.output_tokens) == (1, 2)


def test_an_abort_tells_unknown_input_from_none() -> None:
    unknown = AbortRequest.model_validate(_IDS).to_request("chat")
    none = AbortRequest.model_validate({**_IDS, "inputTokens": 0}).to_request("chat")
    assert (unknown.input_tokens, none.input_tokens) == (None, 0)
