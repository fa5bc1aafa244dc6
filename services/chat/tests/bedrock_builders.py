"""Builders for tests that ask Bedrock's local endpoint by chat's own client."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from aula_chat.clients.bedrock import BedrockModel
from aula_chat.domain.language_models import ModelEvent, Prompt, TextDelta, Turn
from aula_common.clock import Clock, SystemClock

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
OPUS = "anthropic.claude-3-opus-20240229-v1:0"
LLAMA = "meta.llama2-13b-chat-v1"
TITAN = "amazon.titan-text-express-v1"


@asynccontextmanager
async def bedrock_model(
    monkeypatch: pytest.MonkeyPatch, url: str, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[BedrockModel]:
    """The real client, led to `url` as an operator would do it."""
    monkeypatch.setenv(ENDPOINT_VARIABLE, url)
    model = BedrockModel(
        region="eu-central-1",
        clock=clock or SystemClock(),
        access_key_id="AKIDTEST",
        secret_access_key="local",
        **options,
    )
    async with model:
        yield model


def prompt(
    text: str,
    *,
    earlier: Sequence[str] = (),
    model_id: str = SONNET,
    max_output_tokens: int = 300,
    system: str | None = None,
) -> Prompt:
    """A prompt; `earlier` alternates between user and assistant."""
    turns = [
        Turn(role="assistant" if index % 2 else "user", text=said)
        for index, said in enumerate([*earlier, text])
    ]
    return Prompt(
        model_id=model_id,
        turns=tuple(turns),
        max_output_tokens=max_output_tokens,
        system=system,
    )


async def collect(
    model: BedrockModel, asked: Prompt, *, into: list[ModelEvent] | None = None
) -> list[ModelEvent]:
    """All events of the answer; in `into` also those before an error."""
    collected = into if into is not None else []
    async with aclosing(model.stream(asked)) as events:
        async for event in events:
            collected.append(event)
    return collected


def text_of(events: Sequence[ModelEvent]) -> str:
    """What was shown."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def new_nonce() -> str:
    """Tells one test's requests from all others'."""
    return secrets.token_hex(6)


async def requests_of(url: str, nonce: str) -> list[dict[str, Any]]:
    """What the endpoint noted of the requests that carried `nonce`."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/requests", params={"nonce": nonce})
    requests: list[dict[str, Any]] = answer.json()["requests"]
    return requests


async def wait_for_outcome(url: str, nonce: str, outcome: str) -> None:
    """Waits until the endpoint has noted that the one request ended so; 5 s at most."""
    await _wait_for(url, nonce, lambda request: request["outcome"] == outcome)


async def wait_until_left(url: str, nonce: str) -> None:
    """Waits until the endpoint has seen the caller close the connection; 5 s at most."""
    await _wait_for(url, nonce, lambda request: request["left"])


async def _wait_for(url: str, nonce: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(5):
        while not any(holds(request) for request in await requests_of(url, nonce)):
            pass
