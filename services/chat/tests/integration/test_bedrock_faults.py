import asyncio
import socket
from typing import Any

import pytest
from bedrock_builders import (
    LLAMA,
    OPUS,
    SONNET,
    bedrock_model,
    collect,
    new_nonce,
    prompt,
    requests_of,
    text_of,
    wait_for_outcome,
    wait_until_left,
)

from aula_chat.domain.language_models import (
    ModelEvent,
    Prompt,
    ProviderError,
    ProviderInterruptedError,
    ProviderReason,
    ProviderRejectedError,
    ProviderUnavailableError,
    TextDelta,
    Turn,
)
from aula_common.testing import ManualClock

UNAVAILABLE, REJECTED, INTERRUPTED = (
    ProviderUnavailableError,
    ProviderRejectedError,
    ProviderInterruptedError,
)


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("throttled", UNAVAILABLE, "throttled"),
        ("overloaded", UNAVAILABLE, "overloaded"),
        ("unavailable", UNAVAILABLE, "overloaded"),
        ("not-ready", UNAVAILABLE, "overloaded"),
        ("internal", UNAVAILABLE, "failed"),
        ("model-error", UNAVAILABLE, "failed"),
        ("timeout", UNAVAILABLE, "timed_out"),
        ("drop", UNAVAILABLE, "cut"),
        ("denied", REJECTED, "access_denied"),
        ("expired", REJECTED, "access_denied"),
        ("not-found", REJECTED, "unknown_model"),
        ("invalid", REJECTED, "invalid_request"),
        ("cut@0", UNAVAILABLE, "cut"),
        ("end@0", UNAVAILABLE, "incomplete"),
        ("bad-crc@0", UNAVAILABLE, "corrupt"),
        ("error@0", UNAVAILABLE, "failed"),
        ("error@0 exception=throttlingException", UNAVAILABLE, "throttled"),
        ("error@0 exception=validationException", REJECTED, "invalid_request"),
        ("cut@3", INTERRUPTED, "cut"),
        ("end@3", INTERRUPTED, "incomplete"),
        ("bad-crc@3", INTERRUPTED, "corrupt"),
        ("bad-prelude@3", INTERRUPTED, "corrupt"),
        ("error@3", INTERRUPTED, "failed"),
        ("error@3 exception=internalServerException", INTERRUPTED, "failed"),
        ("error@3 exception=serviceUnavailableException", INTERRUPTED, "overloaded"),
        ("error@3 exception=throttlingException", INTERRUPTED, "throttled"),
        ("error@3 exception=validationException", INTERRUPTED, "invalid_request"),
        ("error@3 exception=modelTimeoutException", INTERRUPTED, "timed_out"),
    ],
)
async def test_each_fault_becomes_the_domains_error(
    monkeypatch: pytest.MonkeyPatch,
    bedrock_url: str,
    fault: str,
    error: type[ProviderError],
    reason: str,
) -> None:
    nonce = new_nonce()
    shown: list[ModelEvent] = []
    asked = prompt(f"Explain ice. [[fault={fault} pace=0 nonce={nonce}]]")
    async with bedrock_model(monkeypatch, bedrock_url, attempts=1) as model:
        with pytest.raises(ProviderError) as raised:
            await collect(model, asked, into=shown)
    assert type(raised.value) is error
    assert raised.value.reason == ProviderReason(reason)
    assert raised.value.provider == "bedrock"
    assert len(shown) == (3 if error is INTERRUPTED else 0)
    assert len(await requests_of(bedrock_url, nonce)) == 1


async def test_silence_before_the_first_text_ends_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    options: dict[str, Any] = {"attempts": 1, "first_text_timeout": 0.2, "idle_timeout": 30}
    async with bedrock_model(monkeypatch, bedrock_url, **options) as model:
        for fault in ("hang", "stall@0"):
            nonce = new_nonce()
            with pytest.raises(ProviderUnavailableError) as raised:
                await collect(model, prompt(f"[[{fault} nonce={nonce}]]"))
            assert raised.value.reason is ProviderReason.TIMED_OUT


async def test_a_stall_ends_at_the_idle_deadline_and_the_connection_is_closed(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url, idle_timeout=0.2) as model:
        with pytest.raises(ProviderInterruptedError) as raised:
            await collect(model, prompt(f"Explain ice. [[stall@3 nonce={nonce}]]"))
    assert raised.value.reason is ProviderReason.STALLED
    assert len(await requests_of(bedrock_url, nonce)) == 1


async def test_nobody_listening_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but it does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with bedrock_model(monkeypatch, url, attempts=1) as model:
            with pytest.raises(ProviderUnavailableError) as raised:
                await collect(model, prompt("hello"))
    assert raised.value.reason is ProviderReason.UNREACHABLE


@pytest.mark.parametrize("fault", ["throttled", "drop", "cut@0", "bad-crc@0"])
async def test_an_attempt_that_showed_nothing_is_repeated(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, fault: str
) -> None:
    nonce = new_nonce()
    text = f"[[fault={fault} times=2 nonce={nonce}]] say 'third time lucky' [[nonce={nonce}]]"
    async with bedrock_model(monkeypatch, bedrock_url, attempts=3) as model:
        events = await collect(model, prompt(text))
    assert text_of(events) == "third time lucky"
    outcomes = [request["outcome"] for request in await requests_of(bedrock_url, nonce)]
    assert len(outcomes) == 3
    assert outcomes[-1] == "complete"


async def test_attempts_are_bounded(monkeypatch: pytest.MonkeyPatch, bedrock_url: str) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url, attempts=2) as model:
        with pytest.raises(ProviderUnavailableError):
            await collect(model, prompt(f"[[throttled nonce={nonce}]]"))
    assert len(await requests_of(bedrock_url, nonce)) == 2


async def test_no_attempt_begins_past_the_start_deadline(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url, attempts=9, start_deadline=0) as model:
        with pytest.raises(ProviderUnavailableError):
            await collect(model, prompt(f"[[throttled nonce={nonce}]]"))
    assert len(await requests_of(bedrock_url, nonce)) == 1


@pytest.mark.parametrize("fault", ["invalid", "denied", "cut@3"])
async def test_what_another_attempt_would_not_mend_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, fault: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url, attempts=3) as model:
        with pytest.raises(ProviderError):
            await collect(model, prompt(f"Explain ice. [[{fault} times=1 nonce={nonce}]]"))
    assert len(await requests_of(bedrock_url, nonce)) == 1


async def test_a_model_that_keeps_failing_is_left_alone_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    nonce, clock = new_nonce(), ManualClock()
    text = f"say 'yes' [[throttled model={OPUS} times=2 nonce={nonce}]] [[nonce={nonce}]]"
    options: dict[str, Any] = {"attempts": 1, "breaker_failures": 2, "breaker_reset_after": 10}
    async with bedrock_model(monkeypatch, bedrock_url, clock=clock, **options) as model:
        for expected in ("throttled", "throttled", "circuit_open"):
            with pytest.raises(ProviderUnavailableError) as raised:
                await collect(model, prompt(text, model_id=OPUS))
            assert raised.value.reason == expected
        assert len(await requests_of(bedrock_url, nonce)) == 2
        assert text_of(await collect(model, prompt(text, model_id=SONNET))) == "yes"
        clock.advance(10)
        assert text_of(await collect(model, prompt(text, model_id=OPUS))) == "yes"


async def test_closing_the_generator_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        events = model.stream(
            prompt(f"[[pace=20 tokens=4000 nonce={nonce}]]", max_output_tokens=4000)
        )
        async for event in events:
            assert isinstance(event, TextDelta)
            break
        await events.aclose()
        await wait_for_outcome(bedrock_url, nonce, "left")


@pytest.mark.parametrize("fault", ["hang", "stall@1"])
async def test_cancelling_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, fault: str
) -> None:
    nonce = new_nonce()
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        asked = asyncio.create_task(collect(model, prompt(f"[[{fault} nonce={nonce}]]")))
        await wait_for_outcome(bedrock_url, nonce, fault.partition("@")[0])
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await wait_until_left(bedrock_url, nonce)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Prompt(SONNET, (Turn("user", " "),), 10), "invalid_request"),
        (Prompt(SONNET, (Turn("assistant", "a"),), 10), "invalid_request"),
        (Prompt(SONNET, (Turn("user", "a"), Turn("user", "b")), 10), "invalid_request"),
        (Prompt(SONNET, (), 10), "invalid_request"),
        (Prompt(SONNET, (Turn("user", "a"),), 0), "invalid_request"),
        (Prompt(SONNET, (Turn("user", "a"),), 4097), "invalid_request"),
        (Prompt("anthropic.claude-9-v1:0", (Turn("user", "a"),), 10), "unknown_model"),
        (Prompt(LLAMA, (Turn("user", "a b " * 3000),), 10), "input_too_long"),
    ],
)
async def test_the_services_refusals_are_rejections(
    monkeypatch: pytest.MonkeyPatch, bedrock_url: str, asked: Prompt, reason: str
) -> None:
    async with bedrock_model(monkeypatch, bedrock_url) as model:
        with pytest.raises(ProviderRejectedError) as raised:
            await collect(model, asked)
    assert raised.value.reason == reason
