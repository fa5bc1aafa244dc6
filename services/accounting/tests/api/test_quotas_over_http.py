"""The contract of quotas, over HTTP."""

from typing import Any

import httpx
import pytest
from accounting_builders import Api, moment

from aula_common.security.principal import Role

_QUOTA = {"scope": "user", "subjectId": "usr_a", "metric": "messages", "period": "day"}


async def _put(api: Api, *quotas: dict[str, Any]) -> httpx.Response:
    return await api.http.put(
        "/api/accounting/quotas", json={"quotas": list(quotas)}, headers=api.admin
    )


async def test_an_exceeded_quota_is_a_429_that_says_until_when(api: Api) -> None:
    assert (await _put(api, {**_QUOTA, "limit": 1})).json() == {"quotas": [{**_QUOTA, "limit": 1}]}
    await api.give("usr_a", 100)
    assert (await api.initialize("usr_a", "str_1")).status_code == 201
    refused = await api.initialize("usr_a", "str_2")
    assert refused.status_code == 429
    problem = refused.json()
    assert (
        problem.items()
        >= {
            "code": "quota_exceeded",
            "metric": "messages",
            "period": "day",
            "limit": 1,
            "used": 1,
        }.items()
    )
    assert 0 < problem["retryAfter"] <= 86_400
    assert refused.headers["Retry-After"] == str(problem["retryAfter"])
    assert refused.headers["X-RateLimit-Limit"] == "1"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    standing = (await api.get("/quotas", api.person("usr_a"))).json()["standing"]
    resets_at = moment(standing[0].pop("resetsAt"))
    assert int(refused.headers["X-RateLimit-Reset"]) == int(resets_at.timestamp())
    assert standing == [
        {"metric": "messages", "period": "day", "limit": 1, "used": 1, "remaining": 0}
    ]


async def test_services_consume_once_for_each_key(api: Api) -> None:
    await _put(api, {**_QUOTA, "scope": "tier", "subjectId": "basic", "limit": 3})
    body = {"userId": "usr_a", "tier": "basic", "messages": 2}
    assert (await api.post("/quotas/consume", body, api.chat)).status_code == 422
    for _ in range(2):
        answer = await api.post("/quotas/consume", body, api.chat, key="k")
        assert answer.status_code == 200
        assert answer.json()["standing"][0]["remaining"] == 1
    other = await api.post("/quotas/consume", {**body, "messages": 1}, api.chat, key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    refused = await api.post("/quotas/consume", body, api.chat, key="k2")
    assert refused.status_code == 429


async def test_people_read_what_applies_to_them_and_admins_everything(api: Api) -> None:
    of_tier = {**_QUOTA, "scope": "tier", "subjectId": "basic", "limit": 5}
    of_other = {**_QUOTA, "subjectId": "usr_b", "limit": 6}
    await _put(api, {**_QUOTA, "limit": 7}, of_tier, of_other)
    mine = (await api.get("/quotas", api.person("usr_a"))).json()
    assert [quota["limit"] for quota in mine["quotas"]] == [5, 7]
    assert [one["limit"] for one in mine["standing"]] == [5]
    assert (await api.get("/quotas", api.person("usr_a"), userId="usr_b")).status_code == 403
    everything = (await api.get("/quotas", api.admin)).json()
    assert (everything["pagination"]["total"], everything["standing"]) == (3, [])
    named = (await api.get("/quotas", api.chat, userId="usr_b", tier="basic")).json()
    assert [quota["limit"] for quota in named["quotas"]] == [5, 6]
    assert (await _put(api, {**of_tier, "limit": None})).json() == {"quotas": []}
    assert (await api.get("/quotas", api.admin)).json()["pagination"]["total"] == 2


@pytest.mark.parametrize("role", [Role.ENDUSER, Role.SUPERVISOR])
async def test_only_admins_set_and_only_services_consume(api: Api, role: Role) -> None:
    body = {"quotas": [{**_QUOTA, "limit": 1}]}
    consumed = {"userId": "usr_a", "messages": 1}
    for headers in (api.person("usr_a", role), api.chat):
        answer = await api.http.put("/api/accounting/quotas", json=body, headers=headers)
        assert answer.status_code == 403
    for headers in (api.person("usr_a", role), api.admin, api.service("credits:read")):
        answer = await api.post("/quotas/consume", consumed, headers, key="k")
        assert answer.status_code == 403
    assert (await api.http.get("/api/accounting/quotas")).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"limit": -1},
        {"limit": 1.0},
        {"limit": True},
        {"limit": 2**63},
        {"scope": "all"},
        {"metric": "tokens "},
        {"period": "week"},
        {"subjectId": "a b"},
        {"subjectId": {"$ne": None}},
        {"more": 1},
    ],
)
async def test_odd_quotas_are_refused(api: Api, change: dict[str, Any]) -> None:
    refused = await _put(api, {**_QUOTA, "limit": 1, **change})
    assert refused.status_code == 422
    assert (await api.get("/quotas", api.admin)).json()["quotas"] == []


@pytest.mark.parametrize("amount", [-1, 0, 1.5, True, "1", 2**63])
async def test_odd_amounts_are_refused(api: Api, amount: Any) -> None:
    for metric in ("sessions", "messages", "tokens", "computeSeconds", "credits"):
        body = {"userId": "usr_a", metric: amount}
        assert (await api.post("/quotas/consume", body, api.chat, key="k")).status_code == 422
