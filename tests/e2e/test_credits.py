"""Credits under concurrency: what cannot be paid for is not begun."""

import asyncio
import json
import secrets
from typing import Any

import httpx
from e2e_people import TIMEOUT, People

from aula_devstack.platform import Platform

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"


async def service_client(platform: Platform, base_url: str) -> httpx.AsyncClient:
    """A client that calls accounting as the chat service does."""
    environment = platform.chat.environment
    client = httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT)
    granted = await client.post(
        f"{platform.url}/api/auth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": environment["SERVICE_CLIENT_ID"],
            "client_secret": environment["SERVICE_CLIENT_SECRET"],
            "audience": "accounting",
        },
    )
    assert granted.status_code == httpx.codes.OK, granted.text
    client.headers["Authorization"] = f"Bearer {granted.json()['access_token']}"
    return client


async def test_fifty_at_once_and_credits_for_ten(platform: Platform, people: People) -> None:
    accounting = platform.add_replica("accounting", environment={"MAX_RUNNING_STREAMS": "100"})
    # 1,000 tokens in and out at 3 credits per 1,000: 6, and a fifth on top: 8
    student = await people.student(granted=80)
    service = await service_client(platform, accounting.url)
    names = [f"str_{secrets.token_hex(8)}" for _ in range(50)]

    async def initialize(name: str) -> httpx.Response:
        return await service.post(
            "/api/accounting/streaming/initialize",
            json={
                "sessionId": name,
                "userId": student.id,
                "modelId": SONNET,
                "inputTokens": 1000,
                "maxOutputTokens": 1000,
            },
        )

    answers = await asyncio.gather(*map(initialize, names))

    won = {name for name, a in zip(names, answers, strict=True) if a.status_code == 201}
    refused: list[dict[str, Any]] = [a.json() for a in answers if a.status_code == 402]
    assert (len(won), len(refused)) == (10, 40)
    for problem in refused:
        assert problem["code"] == "credits_held"
        assert {hold["sessionId"] for hold in problem["holds"]} <= won
    # the last one refused has seen all ten
    assert max(len(problem["holds"]) for problem in refused) == 10
    assert max(problem["held"] for problem in refused) == 80

    for index, name in enumerate(sorted(won)):
        body: dict[str, Any] = {"sessionId": name, "userId": student.id}
        if index % 2:
            settled = await service.post(
                "/api/accounting/streaming/abort", json={**body, "tokensGenerated": 0}
            )
        else:
            settled = await service.post(
                "/api/accounting/streaming/finalize",
                json={**body, "modelId": SONNET, "inputTokens": 500, "outputTokens": 500},
            )
        assert settled.status_code == httpx.codes.OK, settled.text
    balance = await student.credits()
    assert (balance["available"], balance["held"]) == (80 - 5 * 3, 0)

    proof = await (await people.admin()).call("GET", "/api/accounting/reconciliation", 200)
    assert proof["balanced"] is True, json.dumps(proof)
    platform.accounting.run_command("reconcile")
    await service.aclose()
    accounting.stop()


async def test_without_credits_nothing_of_the_attempt_remains(
    platform: Platform, people: People
) -> None:
    student = await people.student(granted=0)
    session_id = await student.new_session()

    refused = await student.call(
        "POST", f"/api/chat/sessions/{session_id}/stream", 402, json={"message": "Hello?"}
    )

    assert refused["code"] == "insufficient_credits"
    assert refused["available"] == 0
    assert refused["required"] > 0
    assert await student.messages(session_id) == []
    await people.allocate(student, 50)
    assert (await student.ask(session_id, "Hello? [[tokens=5]]")).terminal["event"] == "complete"


async def test_too_many_streams_at_once_are_refused(platform: Platform, people: People) -> None:
    student = await people.student(granted=1000)
    sessions = [await student.new_session() for _ in range(6)]
    message = {"message": "Take your time. [[tokens=900]] [[pace=20]]"}

    async def start(session_id: str) -> int:
        async with student.client.stream(
            "POST", f"/api/chat/sessions/{session_id}/stream", json=message
        ) as answer:
            return answer.status_code

    statuses = await asyncio.gather(*map(start, sessions))

    assert sorted(statuses) == [200] * 5 + [429]
    for session_id in sessions:
        await student.client.post(f"/api/chat/sessions/{session_id}/stop")
