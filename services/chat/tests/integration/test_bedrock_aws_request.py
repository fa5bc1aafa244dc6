"""Without an endpoint override the same code addresses AWS: this looks at what would go out."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from bedrock_builders import ENDPOINT_VARIABLE, SONNET, collect, prompt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from pydantic import SecretStr

from aula_chat.clients.bedrock import BedrockModel
from aula_chat.domain.language_models import Finish, FinishReason, TextDelta, TokenUsage
from aula_chat.factory import _create_model
from aula_chat.settings import Settings
from aula_common.clock import SystemClock
from aula_common.settings import Environment, MongoSettings, RedisSettings
from aula_devstack.bedrock.frames import event_frame, text_frame

REGION = "eu-central-1"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

ANSWER = b"".join(
    (
        event_frame("messageStart", {"role": "assistant"}),
        text_frame("Guten Tag"),
        event_frame("contentBlockStop", {"contentBlockIndex": 0}),
        event_frame("messageStop", {"stopReason": "end_turn"}),
        event_frame(
            "metadata",
            {
                "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
                "metrics": {"latencyMs": 7},
            },
        ),
    )
)


class Answer:
    """The body of an HTTP response, as aiohttp hands it over."""

    def __init__(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.content = StreamReader(BaseProtocol(loop), limit=2**16, loop=loop)
        self.content.feed_data(body)
        self.content.feed_eof()
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Wire:
    """Stands where the network begins: keeps the signed request and answers it."""

    def __init__(self) -> None:
        self.requests: list[AWSPreparedRequest] = []
        self.answers: list[Answer] = []

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AioAWSResponse:
        self.requests.append(request)
        self.answers.append(Answer(ANSWER))
        return AioAWSResponse(request.url, 200, {}, self.answers[-1])


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of botocore's, no profile."""
    for name in (ENDPOINT_VARIABLE, "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


async def ask(wire: Wire, *, region: str = REGION) -> list[object]:
    model = BedrockModel(
        region=region, clock=SystemClock(), access_key_id=KEY_ID, secret_access_key=SECRET
    )
    async with model:
        events = model._client.meta.events
        events.register_first("before-send.bedrock-runtime.ConverseStream", wire)
        return list(await collect(model, prompt("Say: good day", system="Speak German.")))


@pytest.mark.usefixtures("aws_environment")
async def test_the_request_goes_to_bedrock_in_the_configured_region() -> None:
    wire = Wire()
    events = await ask(wire)
    [request] = wire.requests
    assert request.method == "POST"
    model = SONNET.replace(":", "%3A")
    assert request.url == (
        f"https://bedrock-runtime.{REGION}.amazonaws.com/model/{model}/converse-stream"
    )
    assert json.loads(request.body) == {
        "messages": [{"role": "user", "content": [{"text": "Say: good day"}]}],
        "system": [{"text": "Speak German."}],
        "inferenceConfig": {"maxTokens": 300},
    }
    assert events == [TextDelta("Guten Tag"), Finish(FinishReason.STOP), TokenUsage(3, 2)]
    assert wire.answers[0].closed


@pytest.mark.usefixtures("aws_environment")
async def test_another_region_is_another_address() -> None:
    wire = Wire()
    await ask(wire, region="us-west-2")
    assert urlsplit(wire.requests[0].url).hostname == "bedrock-runtime.us-west-2.amazonaws.com"
    assert b"/us-west-2/bedrock/aws4_request" in wire.requests[0].headers["Authorization"]


@pytest.mark.usefixtures("aws_environment")
async def test_the_signature_is_the_credentials_own_over_exactly_this_request() -> None:
    wire = Wire()
    await ask(wire)
    [request] = wire.requests
    sent = _text(request.headers["Authorization"])
    date = _text(request.headers["X-Amz-Date"])
    assert sent.startswith(
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{date[:8]}/{REGION}/bedrock/aws4_request, "
    )
    assert sent.endswith(f"Signature={signature_of(request, secret=SECRET)}")
    assert not sent.endswith(signature_of(request, secret="another"))


@pytest.mark.usefixtures("aws_environment")
@pytest.mark.parametrize("token", ["IQoJb3JpZ2luX2VjEXAMPLE", ""])
async def test_credentials_of_the_environment_are_used_whole(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)  # where they are temporary
    settings = Settings(
        aula_env=Environment.DEVELOPMENT,
        port=3002,
        mongo=MongoSettings(mongo_uri=SecretStr("mongodb://localhost")),
        redis=RedisSettings(redis_url=SecretStr("redis://localhost")),
    )
    wire = Wire()
    async with _create_model(settings, SystemClock()) as model:
        assert isinstance(model, BedrockModel)
        events = model._client.meta.events
        events.register_first("before-send.bedrock-runtime.ConverseStream", wire)
        await collect(model, prompt("Say: good day"))
    headers = wire.requests[0].headers
    assert f"Credential={KEY_ID}/" in _text(headers["Authorization"])
    assert _text(headers.get("X-Amz-Security-Token", "")) == token


@pytest.mark.usefixtures("aws_environment")
async def test_it_says_who_asks() -> None:
    wire = Wire()
    await ask(wire)
    said = _text(wire.requests[0].headers["User-Agent"])
    assert re.match(r"aula-chat/[0-9.]+ ", said)


def signature_of(request: AWSPreparedRequest, *, secret: str) -> str:
    """The signature computed anew from what was sent."""
    signed = _text(request.headers["Authorization"]).split("SignedHeaders=")[1].split(",")[0]
    headers = {
        name: _text(request.headers[name]) for name in signed.split(";") if name in request.headers
    }
    again = AWSRequest(method=request.method, url=request.url, headers=headers, data=request.body)
    again.context["timestamp"] = _text(request.headers["X-Amz-Date"])
    signer = SigV4Auth(Credentials(KEY_ID, secret), "bedrock", REGION)
    canonical = signer.canonical_request(again)
    return str(signer.signature(signer.string_to_sign(again, canonical), again))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
