"""What an outcome costs."""

import pytest
from stream_builders import outcome, reservation, stream

from aula_chat.domain.language_models import TokenUsage
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.models import CLAUDE_3_SONNET, TITAN_EXPRESS
from aula_chat.domain.streams import (
    MAX_REPORTED_TOKENS,
    SettlementKind,
    StreamCode,
    intent_of,
    intent_of_refusal,
)
from aula_chat.services.conclusions import terminal_event


def test_the_providers_own_usage_wins() -> None:
    intent = intent_of(outcome(usage=TokenUsage(7, 3)), reservation())
    assert (intent.kind, intent.input_tokens, intent.output_tokens, intent.success) == (
        SettlementKind.FINALIZE, 7, 3, True,
    )  # fmt: skip


def test_an_explicit_zero_is_zero() -> None:
    intent = intent_of(outcome(usage=TokenUsage(0, 0)), reservation())
    assert (intent.input_tokens, intent.output_tokens) == (0, 0)


@pytest.mark.parametrize("status", list(MessageStatus))
def test_without_usage_the_prompts_estimate_and_the_shown_text_count(status: MessageStatus) -> None:
    intent = intent_of(outcome("äöü" * 5, usage=None, status=status), reservation())
    assert (intent.input_tokens, intent.output_tokens) == (100, 10)


def test_without_usage_no_model_costs_more_than_it_can_read() -> None:
    long = reservation(input_tokens=150_000)
    for model_id, read in (
        (TITAN_EXPRESS, 8192 - 2000),
        (CLAUDE_3_SONNET, 150_000),
        ("gone", 150_000),
    ):
        intent = intent_of(outcome("abc", usage=None, model_id=model_id), long)
        assert (intent.model_id, intent.input_tokens) == (model_id, read)


@pytest.mark.parametrize("status", list(MessageStatus))
def test_without_usage_and_text_nothing_is_charged(status: MessageStatus) -> None:
    intent = intent_of(outcome("", usage=None, status=status), reservation())
    assert (intent.input_tokens, intent.output_tokens) == (0, 0)


def test_an_answer_that_broke_off_is_aborted_with_its_reason() -> None:
    broken = outcome(usage=None, status=MessageStatus.INTERRUPTED, code=StreamCode.ERROR)
    intent = intent_of(broken, reservation())
    assert (intent.kind, intent.success, intent.reason) == (
        SettlementKind.ABORT, False, "STREAM_ERROR",
    )  # fmt: skip


def test_a_count_beyond_reason_is_cut() -> None:
    intent = intent_of(outcome(usage=TokenUsage(2**60, 2**60)), reservation())
    assert (intent.input_tokens, intent.output_tokens) == (MAX_REPORTED_TOKENS,) * 2


def test_a_refusal_gives_everything_back() -> None:
    intent = intent_of_refusal(reservation(), "why")
    assert (intent.kind, intent.input_tokens, intent.output_tokens) == (SettlementKind.ABORT, 0, 0)


@pytest.mark.parametrize("code", list(StreamCode))
def test_every_code_has_its_terminal_event(code: StreamCode) -> None:
    broken = outcome(status=MessageStatus.INTERRUPTED, code=code)
    ended = stream(outcome=broken, intent=intent_of(broken, reservation()))
    event, data = terminal_event(ended)
    assert (event, data["code"], data["settlement"]) == ("error", str(code), "pending")
