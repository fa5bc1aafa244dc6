import asyncio

import pytest
from bedrock_builders import (
    SONNET,
    TITAN,
    bedrock_model,
    collect,
    new_nonce,
    prompt,
    requests_of,
    text_of,
)
from bedrock_relay import relay

from aula_chat.domain.language_models import Finish, FinishReason, TextDelta, TokenUsage
from aula_devstack.bedrock.tokens import count_tokens


async def test_deltas_come_one_by_one_then_the_finish_then_the_usage(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    question = "Explain the tides, please. [[pace=0]]"
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(question))
    *deltas, finish, usage = events
    text = text_of(events)
    assert all(isinstance(delta, TextDelta) for delta in deltas)
    assert "tides" in text
    assert finish == Finish(FinishReason.STOP)
    assert usage == TokenUsage(
        input_tokens=count_tokens(question), output_tokens=count_tokens(text)
    )
    assert len(deltas) == count_tokens(text)


async def test_the_model_answers_from_the_whole_conversation(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    earlier = ("Hello, my name is Ada Lovelace.", "Hello!")
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt("What is my name?", earlier=earlier))
    assert "Ada Lovelace" in text_of(events)


async def test_the_output_allowance_ends_the_answer(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(
            model, prompt("Explain rain. [[pace=0 tokens=500]]", max_output_tokens=7)
        )
    assert count_tokens(text_of(events)) == 7
    assert events[-2] == Finish(FinishReason.LENGTH)
    assert isinstance(events[-1], TokenUsage)
    assert events[-1].output_tokens == 7


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("content_filtered", FinishReason.FILTERED),
        ("guardrail_intervened", FinishReason.FILTERED),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("something_new", FinishReason.OTHER),
    ],
)
async def test_stop_reasons_become_the_domains(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, stop_reason: str, reason: FinishReason
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(f"hello [[stop-reason={stop_reason}]]"))
    assert Finish(reason) in events


@pytest.mark.parametrize(
    "model_id",
    [
        f"us.{SONNET}",
        f"arn:aws:bedrock:eu-central-1::foundation-model/{SONNET}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}",
    ],
)
async def test_model_ids_of_every_form_reach_the_model(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, model_id: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(f"hello [[nonce={nonce}]]", model_id=model_id))
    assert Finish(FinishReason.STOP) in events
    assert [request["modelId"] for request in await requests_of(bedrock_url, nonce)] == [model_id]


@pytest.mark.parametrize("model_id", [SONNET, TITAN])
async def test_a_system_prompt_is_read_by_models_that_refuse_one_too(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, model_id: str
) -> None:
    system, question = "You are a patient teacher.", "hello"
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(question, system=system, model_id=model_id))
    assert isinstance(events[-1], TokenUsage)
    assert events[-1].input_tokens >= count_tokens(system) + count_tokens(question)


HOSTILE = '\r\n\ndata: {"x": 1}\r\rid: 5\u2028event: end\u0085\x00\u2029 "\\" 🦉'


@pytest.mark.parametrize("batch", [1, 4, 100])
async def test_hostile_text_arrives_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, batch: int
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(f"[[echo pace=0 batch={batch}]] {HOSTILE}"))
    assert text_of(events) == HOSTILE


async def test_lone_surrogates_never_get_through(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt("[[echo]] a\ud800b \ud83e\udd89"))
    assert text_of(events) == "a\ufffdb 🦉"


@pytest.mark.parametrize(
    ("fault", "usages"),
    [
        ("no-usage", []),
        ("usage-twice", [TokenUsage(9, 2), TokenUsage(9, 2)]),
        ("usage-absurd", []),
        ("zero-usage", [TokenUsage(0, 0)]),
    ],
)
async def test_usage_is_passed_on_as_it_came_unless_it_is_no_count(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, fault: str, usages: list[TokenUsage]
) -> None:
    question = f"[[fault={fault}]] say 'well said'"
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = await collect(model, prompt(question))
    assert text_of(events) == "well said"
    shown = [event for event in events if isinstance(event, TokenUsage)]
    assert len(shown) == len(usages)
    if fault == "usage-twice":
        usages = [TokenUsage(count_tokens(question), 2)] * 2
    assert shown == usages


async def test_fifty_streams_at_once_each_get_their_own_answer(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        answers = await asyncio.gather(
            *(
                collect(model, prompt(f"[[echo pace=10]] stream {number} " + "word " * 20))
                for number in range(50)
            )
        )
    for number, events in enumerate(answers):
        assert text_of(events) == f"stream {number} " + "word " * 20
        assert isinstance(events[-1], TokenUsage)


async def test_a_finished_streams_connection_serves_the_next(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    async with (
        relay(bedrock_url, piece=7) as (url, connections),  # the body's end comes after the finish
        bedrock_model(monkeypatch, url, max_connections=1) as model,
    ):
        for _ in range(3):
            events = await collect(model, prompt("hello"))
            assert Finish(FinishReason.STOP) in events
        assert len(connections) == 1
