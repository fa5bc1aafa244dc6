"""botocore's own parser and serializer against the endpoint; refusals by plain HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiobotocore.session import get_session
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

from aula_devstack.bedrock.tokens import count_tokens

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SIGNED = {
    "x-amz-date": "20260101T000000Z",
    "authorization": "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-central-1/bedrock/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
}


@asynccontextmanager
async def runtime(url: str) -> AsyncIterator[Any]:
    async with get_session().create_client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    ) as client:
        yield client


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


async def streamed(client: Any, text: str, **more: Any) -> list[dict[str, Any]]:
    answer = await client.converse_stream(modelId=HAIKU, messages=[user(text)], **more)
    return [event async for event in answer["stream"]]


async def test_botocore_reads_every_event_in_the_services_order(bedrock_url: str) -> None:
    question = "say 'three words here' [[pace=0]]"
    async with runtime(bedrock_url) as client:
        events = await streamed(client, question)
    latency = events[-1]["metadata"]["metrics"]["latencyMs"]
    assert events == [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "three"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": " words"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": " here"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {
            "metadata": {
                "usage": {
                    "inputTokens": count_tokens(question),
                    "outputTokens": 3,
                    "totalTokens": count_tokens(question) + 3,
                },
                "metrics": {"latencyMs": latency},
            }
        },
    ]
    assert latency >= 0


async def test_frames_carry_the_services_headers(bedrock_url: str) -> None:
    answer = await post(bedrock_url, {"messages": [user("[[error@1 pace=0]] a b")]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert answer.headers["x-amzn-requestid"]
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    headers = [message.headers for message in buffer]
    assert headers == [
        {
            ":event-type": "messageStart",
            ":content-type": "application/json",
            ":message-type": "event",
        },
        {
            ":event-type": "contentBlockDelta",
            ":content-type": "application/json",
            ":message-type": "event",
        },
        {
            ":exception-type": "modelStreamErrorException",
            ":content-type": "application/json",
            ":message-type": "exception",
        },
    ]


async def test_exceptions_amid_the_stream_are_botocores(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        with pytest.raises(EventStreamError, match="throttlingException"):
            await streamed(client, "[[error@2 exception=throttlingException]]")


async def test_a_fault_may_take_the_place_of_the_usage(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        events = await streamed(client, "Explain ice. [[end@stop tokens=4 pace=0]]")
        with pytest.raises(EventStreamError, match="modelStreamErrorException"):
            await streamed(client, "Explain ice. [[error@stop tokens=4 pace=0]]")
    assert [next(iter(event)) for event in events] == [
        "messageStart",
        *["contentBlockDelta"] * 4,
        "contentBlockStop",
        "messageStop",
    ]


async def test_usage_may_be_whatever_was_asked_for(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        events = await streamed(client, "Explain ice. [[usage=-3:1099511627776 pace=0]]")
    assert events[-1]["metadata"]["usage"] == {
        "inputTokens": -3,
        "outputTokens": 2**40,
        "totalTokens": 2**40 - 3,
    }


async def test_an_answer_in_one_piece_is_the_streams(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        question = "Explain snow [[pace=0]]"
        whole = await client.converse(modelId=HAIKU, messages=[user(question)])
        events = await streamed(client, question)
    text = "".join(
        event["contentBlockDelta"]["delta"]["text"]
        for event in events
        if "contentBlockDelta" in event
    )
    assert whole["output"] == {"message": {"role": "assistant", "content": [{"text": text}]}}
    assert whole["stopReason"] == "end_turn"
    assert whole["usage"] == events[-1]["metadata"]["usage"]


async def test_each_token_takes_the_time_that_was_asked_for(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        slow = await streamed(client, "Explain snow [[pace=20 tokens=11]]")
        quick = await streamed(client, "Explain snow [[pace=0 tokens=11]]")
    assert len(slow) == len(quick) == 15
    # ten waits; a loop may wake a tick of its clock early, which is a millisecond
    assert slow[-1]["metadata"]["metrics"]["latencyMs"] >= 190
    assert slow[1:-1] == quick[1:-1]


async def test_stop_sequences_and_the_allowance_end_the_answer(bedrock_url: str) -> None:
    async with runtime(bedrock_url) as client:
        stopped = await client.converse(
            modelId=HAIKU,
            messages=[user("say 'one two three'")],
            inferenceConfig={"stopSequences": [" three", "two"]},
        )
        cut = await client.converse(
            modelId=HAIKU, messages=[user("count to 50")], inferenceConfig={"maxTokens": 3}
        )
    assert stopped["output"]["message"]["content"][0]["text"] == "one "
    assert stopped["stopReason"] == "stop_sequence"
    assert cut["stopReason"] == "max_tokens"
    assert cut["usage"]["outputTokens"] == 3


@pytest.mark.parametrize(
    ("fault", "name", "status"),
    [
        ("throttled", "ThrottlingException", 429),
        ("overloaded", "ServiceUnavailableException", 503),
        ("internal", "InternalServerException", 500),
        ("timeout", "ModelTimeoutException", 408),
        ("not-ready", "ModelNotReadyException", 429),
        ("model-error", "ModelErrorException", 424),
        ("denied", "AccessDeniedException", 403),
        ("not-found", "ResourceNotFoundException", 404),
        ("ValidationException", "ValidationException", 400),
    ],
)
async def test_errors_have_the_services_names_and_codes(
    bedrock_url: str, fault: str, name: str, status: int
) -> None:
    async with runtime(bedrock_url) as client:
        with pytest.raises(ClientError) as raised:
            await streamed(client, f"[[fault={fault}]]")
    assert raised.value.response["Error"]["Code"] == name
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert type(raised.value).__name__ == name


ONE = [user("hello")]
ASSISTANT = {"role": "assistant", "content": [{"text": "x"}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [user(" \n")]}, "messages.0.content.0 is blank"),
        ({"messages": [*ONE, ASSISTANT, user("")]}, "messages.2.content.0 is blank"),
        ({"messages": [*ONE, *ONE]}, "must alternate between user and assistant roles"),
        ({"messages": [ASSISTANT]}, "must start with a user message"),
        ({"messages": []}, "must start with a user message"),
        ({}, "Value null at 'messages'"),
        ({"messages": [{"role": "robot", "content": []}]}, "enum value set: [user, assistant]"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0 is empty"),
        ({"messages": [{"role": "user", "content": [{"image": {}}]}]}, "only text"),
        ({"messages": ONE, "inferenceConfig": {"maxTokens": 0}}, "greater than or equal to 1"),
        ({"messages": ONE, "inferenceConfig": {"maxTokens": 4097}}, "model limit of 4096"),
        ({"messages": ONE, "inferenceConfig": {"temperature": 2}}, "inferenceConfig.temperature"),
        ({"messages": ONE, "system": [{"text": " "}]}, "system.0 is blank"),
        ({"messages": [user("a b " * 200_000)]}, "Input is too long"),
        ({"messages": [user("[[fault=nonsense]]")]}, "unknown fault"),
    ],
)
async def test_what_the_service_refuses_is_refused(
    bedrock_url: str, body: dict[str, Any], said: str
) -> None:
    answer = await post(bedrock_url, body)
    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"].startswith("ValidationException")
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    ("model_id", "said"),
    [
        ("anthropic.claude-99-v1:0", "The provided model identifier is invalid."),
        ("amazon.titan-text-express-v1", "doesn't support the system field"),
    ],
)
async def test_models_differ_in_what_they_take(bedrock_url: str, model_id: str, said: str) -> None:
    body = {"messages": ONE, "system": [{"text": "Be brief."}]}
    answer = await post(bedrock_url, body, model_id=model_id)
    assert answer.status_code == 400
    assert said in answer.json()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"[" * 100_000, b"\xff"])
async def test_what_is_no_json_is_a_serialization_error(bedrock_url: str, body: bytes) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{bedrock_url}/model/{HAIKU}/converse", content=body, headers=SIGNED
        )
    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"].startswith("SerializationException")


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        (None, "MissingAuthenticationTokenException"),
        ("Basic abc", "IncompleteSignatureException"),
        ("Bearer eyJhbGciOi", "IncompleteSignatureException"),
        (SIGNED["authorization"].replace("/bedrock/", "/s3/"), "InvalidSignatureException"),
        (SIGNED["authorization"].replace("eu-central-1/", ""), "IncompleteSignatureException"),
        (SIGNED["authorization"].replace("20260101", "20250101"), "IncompleteSignatureException"),
        (SIGNED["authorization"].replace("x-amz-date", "x"), "IncompleteSignatureException"),
    ],
)
async def test_requests_must_be_signed_for_bedrock(
    bedrock_url: str, authorization: str | None, name: str
) -> None:
    headers = {"x-amz-date": SIGNED["x-amz-date"]}
    if authorization:
        headers["authorization"] = authorization
    answer = await post(bedrock_url, {"messages": ONE}, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"].startswith(name)


async def test_a_bedrock_api_key_is_a_credential_too(bedrock_url: str) -> None:
    headers = {"authorization": "Bearer ABSKexample"}
    assert (await post(bedrock_url, {"messages": ONE}, headers=headers)).status_code == 200


async def test_other_paths_are_unknown_operations(bedrock_url: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{bedrock_url}/model/{HAIKU}/invoke", headers=SIGNED)
        alive = await client.get(f"{bedrock_url}/livez")
    assert answer.status_code == 404
    assert alive.json() == {"status": "ok"}


async def post(
    url: str, body: dict[str, Any], *, model_id: str = HAIKU, headers: dict[str, str] | None = None
) -> httpx.Response:
    path = f"/model/{model_id.replace(':', '%3A')}/converse-stream"
    async with httpx.AsyncClient() as client:
        return await client.post(url + path, json=body, headers=headers or SIGNED)
