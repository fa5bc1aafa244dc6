"""The contract of the money routes, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from accounting_builders import HAIKU, OPUS, SONNET, Api, moment


async def test_a_stream_from_initialize_to_finalize(api: Api) -> None:
    allocation_id = await api.give("usr_a", 100)
    started = await api.initialize(
        "usr_a", "str_1", chatSessionId="ses_1", fallbackModelIds=[HAIKU], maxOutputTokens=2000
    )
    assert started.status_code == 201
    body = started.json()
    lease = moment(body.pop("leaseExpiresAt"))
    assert body == {
        "sessionId": "str_1",
        "estimatedCredits": 8,
        "allocatedCredits": 10,
        "maxOutputTokens": 2000,
        "message": "Credits are held for this streaming session.",
    }
    beat = {"sessionId": "str_1", "userId": "usr_a", "tokensGenerated": 40}
    assert (await api.post("/streaming/heartbeat", beat, api.chat)).json() == {
        "sessionId": "str_1",
        "status": "active",
        "tokensGenerated": 40,
        "leaseExpiresAt": started.json()["leaseExpiresAt"],
    }
    during = (await api.get("/credits", api.person("usr_a"))).json()
    assert (during["available"], during["held"]) == (90, 10)
    [hold] = during["holds"]
    assert hold == {
        "sessionId": "str_1",
        "amount": 10,
        "chatSessionId": "ses_1",
        "since": hold["since"],
    }
    assert lease - moment(hold["since"]) == timedelta(seconds=300)

    ended = await api.finalize(
        "usr_a", "str_1", modelId=SONNET, inputTokens=500, outputTokens=300, duration=1500
    )
    assert ended.status_code == 200
    assert ended.json() == {
        "sessionId": "str_1",
        "status": "completed",
        "estimatedCredits": 8,
        "actualCredits": 3,
        "partialCredits": 3,
        "refund": 7,
        "lapsed": 0,
        "overrun": 0,
    }
    session = (await api.get("/streaming/str_1", api.person("usr_a"))).json()
    assert session["status"] == "completed"
    assert session["holds"] == [{"allocationId": allocation_id, "amount": 10}]
    assert [(entry["kind"], entry["amount"]) for entry in session["entries"]] == [
        ("hold", 10),
        ("charge", 3),
        ("refund", 7),
        ("settle", 3),
    ]
    assert session["settlement"] == ended.json()
    after = (await api.get("/credits", api.person("usr_a"))).json()
    assert (after["available"], after["held"], after["holds"]) == (97, 0, [])
    [left] = after["allocations"]
    assert (left["remaining"], left["charged"]) == (97, 3)


async def test_the_aliases_are_the_same_endpoints(api: Api) -> None:
    await api.give("usr_a", 100)
    ids = {"sessionId": "str_1", "userId": "usr_a"}

    async def alias(name: str, body: dict[str, Any]) -> Any:
        path = f"/api/streaming-sessions/{name}"
        return await api.http.post(path, json={**ids, **body}, headers=api.chat)

    estimate = {"modelId": SONNET, "estimatedTokens": 1000}
    assert (await alias("initialize", estimate)).json()["allocatedCredits"] == 4
    ended = await alias("finalize", {"actualTokens": 900})
    assert ended.json()["actualCredits"] == 3
    assert (await alias("abort", {})).json() == ended.json()
    by_its_own_path = await api.post("/streaming/finalize", {**ids, "actualTokens": 1}, api.chat)
    assert by_its_own_path.content == ended.content


async def test_a_refusal_for_want_of_credits_says_what_is_missing_and_what_is_held(
    api: Api,
) -> None:
    await api.give("usr_a", 7)
    poor = await api.initialize("usr_a", "str_0", modelId=OPUS)
    assert poor.status_code == 402
    assert (
        poor.json().items()
        >= {
            "code": "insufficient_credits",
            "available": 7,
            "required": 18,
            "estimatedCredits": 15,
            "bufferRequired": 3,
        }.items()
    )
    await api.initialize("usr_a", "str_1", chatSessionId="ses_1")
    held = (await api.initialize("usr_a", "str_2")).json()
    assert (
        held.items()
        >= {"code": "credits_held", "available": 3, "required": 4, "held": 4, "status": 402}.items()
    )
    [hold] = held["holds"]
    assert (hold["sessionId"], hold["amount"], hold["chatSessionId"]) == ("str_1", 4, "ses_1")
    assert moment(hold["since"]).tzinfo is not None


async def test_too_many_streams_are_refused_with_when_to_try_again(api: Api) -> None:
    await api.give("usr_a", 1000)
    for number in range(5):
        assert (await api.initialize("usr_a", f"str_{number}")).status_code == 201
    refused = await api.initialize("usr_a", "str_5")
    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_streams"
    assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])
    assert refused.headers["X-RateLimit-Limit"] == "5"
    assert (await api.initialize("usr_b", "str_6")).status_code == 402


async def test_a_repeated_initialize_answers_with_the_same_bytes(api: Api) -> None:
    await api.give("usr_a", 1000)
    first = await api.initialize("usr_a", "str_1")
    again = await api.initialize("usr_a", "str_1")
    assert (again.status_code, again.content) == (201, first.content)
    other = await api.initialize("usr_a", "str_1", inputTokens=501)
    assert (other.status_code, other.json()["code"]) == (409, "session_conflict")
    foreign = await api.initialize("usr_b", "str_1")
    assert (foreign.status_code, foreign.json()["code"]) == (409, "session_conflict")
    assert "usr_a" not in foreign.text


async def test_settled_and_tombstone_refuse_initialize_and_heartbeat(api: Api) -> None:
    await api.give("usr_a", 1000)
    ids = {"sessionId": "str_1", "userId": "usr_a"}
    tombstone = await api.post("/streaming/abort", ids, api.chat)
    assert tombstone.status_code == 200
    assert (
        tombstone.json().items()
        >= {"sessionId": "str_1", "status": "aborted", "partialCredits": 0, "refund": 0}.items()
    )
    late = await api.initialize("usr_a", "str_1")
    assert (late.status_code, late.json()["code"]) == (409, "session_settled")
    beat = await api.post("/streaming/heartbeat", {**ids, "tokensGenerated": 1}, api.chat)
    assert (beat.status_code, beat.json()["code"]) == (409, "session_settled")
    assert (await api.finalize("usr_a", "str_unknown")).status_code == 404
    assert (await api.finalize("usr_b", "str_1")).status_code == 404


async def test_an_allocation_needs_a_key_and_is_given_once_for_it(api: Api) -> None:
    body = {"userIds": ["usr_a", "usr_b"], "credits": 5, "expiresAt": "2999-01-01T00:00:00+02:00"}
    missing = await api.post("/credits/allocate", body, api.admin)
    assert missing.status_code == 422
    assert "Idempotency-Key" in missing.text
    for bad in ("", "x" * 256, "with space"):
        assert (await api.post("/credits/allocate", body, api.admin, key=bad)).status_code == 422
    first = await api.post("/credits/allocate", body, api.admin, key="k")
    again = await api.post("/credits/allocate", body, api.admin, key="k")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    given = first.json()["allocations"]
    assert [one["userId"] for one in given] == ["usr_a", "usr_b"]
    assert given[0]["expiresAt"] == "2998-12-31T22:00:00Z"
    other = await api.post("/credits/allocate", {**body, "credits": 6}, api.admin, key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    past = {**body, "expiresAt": "2001-01-01T00:00:00Z"}
    refused = await api.post("/credits/allocate", past, api.admin, key="k2")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "expiresAt")


async def test_revoke_over_http(api: Api) -> None:
    allocation_id = await api.give("usr_a", 5)
    path = f"/credits/allocations/{allocation_id}/revoke"
    assert (await api.post(path, None, api.admin)).status_code == 422
    first = await api.post(path, None, api.admin, key="k")
    assert (first.status_code, first.json()["revoked"]) == (200, 5)
    assert (await api.post(path, None, api.admin, key="k")).content == first.content
    assert (await api.post(path, None, api.admin, key="k2")).status_code == 409
    absent = await api.post("/credits/allocations/alc_x/revoke", None, api.admin, key="k3")
    assert absent.status_code == 404


async def test_check_over_http(api: Api) -> None:
    await api.give("usr_a", 4)
    mine = api.person("usr_a")
    body = {"modelId": SONNET, "estimatedTokens": 1000}
    enough = (await api.post("/credits/check", body, mine)).json()
    assert enough == {"sufficient": True, "required": 4, "available": 4}
    poor = (await api.post("/credits/check", {"credits": 5}, mine)).json()
    assert poor == {"sufficient": False, "required": 5, "available": 4}
    unpriced = {"modelId": "no.such-model", "estimatedTokens": 1}
    assert (await api.post("/credits/check", unpriced, mine)).status_code == 422
    foreign = await api.post("/credits/check", {"credits": 1, "userId": "usr_b"}, mine)
    assert foreign.status_code == 403
    by_chat = await api.post("/credits/check", {"credits": 4, "userId": "usr_a"}, api.chat)
    assert by_chat.json()["sufficient"]


async def test_rates_are_read_by_all_and_changed_for_the_future_only(api: Api) -> None:
    read = (await api.get("/rates", api.chat)).json()["rates"]
    assert {rate["modelId"]: rate["inputRate"] for rate in read}[HAIKU] == "0.25"
    assert len((await api.get("/rates", api.person("usr_a"))).json()["rates"]) == 6

    async def put(rate: dict[str, Any]) -> Any:
        return await api.http.put(
            "/api/accounting/rates", json={"rates": [rate]}, headers=api.admin
        )

    new = {"modelId": HAIKU, "inputRate": "0.5", "outputRate": 1.25}
    assert (await put(new)).status_code == 200
    later = await put({**new, "inputRate": 9, "startsAt": "2999-01-01T00:00:00Z"})
    assert later.status_code == 200
    past = await put({**new, "startsAt": "2020-01-01T00:00:00Z"})
    assert past.status_code == 422
    now = (await api.get("/rates", api.chat, modelId=HAIKU)).json()["rates"]
    assert [(rate["inputRate"], rate["outputRate"]) for rate in now] == [("0.5", "1.25")]
    history = (await api.get("/rates", api.chat, modelId=HAIKU, history="true")).json()["rates"]
    assert [rate["inputRate"] for rate in history] == ["9", "0.5", "0.25"]


async def test_usage_is_listed_and_summed_up(api: Api) -> None:
    await api.give("usr_a", 100)
    for number, model in enumerate((SONNET, OPUS, SONNET)):
        await api.initialize("usr_a", f"str_{number}", modelId=model)
        await api.finalize("usr_a", f"str_{number}", inputTokens=500, outputTokens=500)
    await api.post("/streaming/abort", {"sessionId": "str_t", "userId": "usr_a"}, api.chat)
    mine = api.person("usr_a")
    page = (await api.get("/usage", mine, limit=2)).json()
    assert page["pagination"] == {"total": 3, "page": 1, "limit": 2, "pages": 2}
    assert [one["sessionId"] for one in page["usage"]] == ["str_2", "str_1"]
    assert page["usage"][1]["credits"] == 15
    by_model = (await api.get("/usage/summary", mine, by="model")).json()
    assert [(one["key"], one["streams"], one["credits"]) for one in by_model["groups"]] == [
        (OPUS, 1, 15),
        (SONNET, 2, 6),
    ]
    for by in ("day", "service", "user"):
        [group] = (await api.get("/usage/summary", api.admin, by=by)).json()["groups"]
        assert (group["credits"], group["inputTokens"], group["outputTokens"]) == (21, 1500, 1500)
    nothing = await api.get("/usage/summary", mine, to="2020-01-01T00:00:00Z")
    assert nothing.json()["groups"] == []


async def test_the_ledger_is_paged_newest_first(api: Api) -> None:
    await api.give("usr_a", 100)
    await api.initialize("usr_a", "str_1")
    await api.finalize("usr_a", "str_1", outputTokens=100)
    mine = api.person("usr_a")
    first = (await api.get("/ledger", mine, limit=2)).json()
    assert [entry["kind"] for entry in first["entries"]] == ["settle", "refund"]
    assert first["pagination"] == {"total": 5, "page": 1, "limit": 2, "pages": 3}
    last = (await api.get("/ledger", mine, limit=2, page=3)).json()
    assert [entry["kind"] for entry in last["entries"]] == ["allocate"]
    assert (await api.get("/ledger", mine, page=9)).json()["entries"] == []


@pytest.mark.parametrize("query", [{"page": 0}, {"limit": 101}, {"limit": "x"}, {"page": 10**9}])
async def test_absurd_pages_are_refused(api: Api, query: dict[str, Any]) -> None:
    assert (await api.get("/ledger", api.person("usr_a"), **query)).status_code == 422


async def test_reconciliation_over_http(api: Api) -> None:
    await api.give("usr_a", 100)
    proof = (await api.get("/reconciliation", api.admin)).json()
    assert proof["balanced"] is True
    assert proof["discrepancies"] == []
    assert proof["totals"]["granted"] == 100


async def test_probes_and_version(api: Api) -> None:
    for path in ("/livez", "/readyz", "/health", "/api/accounting/health", "/metrics"):
        assert (await api.http.get(path)).status_code == 200, path
    await api.give("usr_a", 4)
    await api.initialize("usr_a", "str_1")
    metrics = (await api.http.get("/metrics")).text
    assert 'aula_reserves_total{verdict="reserved"} 1.0' in metrics
