"""Who may do what, and see whose."""

from typing import Any

import pytest
from accounting_builders import SONNET, Api

from aula_common.security.principal import Role

_SESSION = {"sessionId": "str_1", "userId": "usr_a"}
_INITIALIZE = {**_SESSION, "modelId": SONNET, "inputTokens": 1}
_FINALIZE = {**_SESSION, "actualTokens": 1}
_HEARTBEAT = {**_SESSION, "tokensGenerated": 1}
_ALLOCATE = {"userId": "usr_a", "credits": 1_000_000}
_RATES = {"rates": [{"modelId": "m", "inputRate": "0", "outputRate": "0"}]}

_FOR_SERVICES = [
    ("POST", "/api/accounting/streaming/initialize", _INITIALIZE),
    ("POST", "/api/accounting/streaming/heartbeat", _HEARTBEAT),
    ("POST", "/api/accounting/streaming/finalize", _FINALIZE),
    ("POST", "/api/accounting/streaming/abort", _SESSION),
    ("POST", "/api/streaming-sessions/initialize", _INITIALIZE),
    ("POST", "/api/streaming-sessions/finalize", _FINALIZE),
    ("POST", "/api/streaming-sessions/abort", _SESSION),
]
_FOR_ADMINS = [
    ("POST", "/api/accounting/credits/allocate", _ALLOCATE),
    ("POST", "/api/accounting/credits/allocations/alc_1/revoke", None),
    ("PUT", "/api/accounting/rates", _RATES),
    ("GET", "/api/accounting/reconciliation", None),
]
_KEY = {"Idempotency-Key": "k"}


@pytest.mark.parametrize(("method", "path", "body"), _FOR_SERVICES)
@pytest.mark.parametrize("role", [Role.ENDUSER, Role.SUPERVISOR, Role.ADMIN])
async def test_people_may_never_reserve_or_settle(
    api: Api, method: str, path: str, body: Any, role: Role
) -> None:
    await api.give("usr_a", 10)
    answer = await api.http.request(method, path, json=body, headers=api.person("usr_a", role))
    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"
    assert (await api.context.credits.get_balance("usr_a")).held == 0


@pytest.mark.parametrize(("method", "path", "body"), _FOR_SERVICES)
async def test_services_need_the_scope(api: Api, method: str, path: str, body: Any) -> None:
    headers = api.service("rates:read", "credits:read", "streaming:read")
    assert (await api.http.request(method, path, json=body, headers=headers)).status_code == 403


@pytest.mark.parametrize(("method", "path", "body"), _FOR_ADMINS)
async def test_only_admins_give_take_and_prove(api: Api, method: str, path: str, body: Any) -> None:
    for headers in (
        api.person("usr_a"),
        api.person("usr_s", Role.SUPERVISOR),
        api.service("streaming:write", "credits:read", "rates:read"),
    ):
        answer = await api.http.request(method, path, json=body, headers={**headers, **_KEY})
        assert answer.status_code == 403
    assert (await api.context.credits.get_balance("usr_a")).available == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, path) for method, path, _ in (*_FOR_SERVICES, *_FOR_ADMINS)),
        ("GET", "/api/accounting/credits"),
        ("POST", "/api/accounting/credits/check"),
        ("GET", "/api/accounting/credits/allocations"),
        ("GET", "/api/accounting/streaming/active"),
        ("GET", "/api/accounting/streaming/active/usr_a"),
        ("GET", "/api/accounting/streaming/str_1"),
        ("GET", "/api/accounting/rates"),
        ("GET", "/api/accounting/usage"),
        ("GET", "/api/accounting/usage/summary"),
        ("GET", "/api/accounting/ledger"),
    ],
)
async def test_nobody_is_answered_without_a_token(api: Api, method: str, path: str) -> None:
    answer = await api.http.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path", ["/credits", "/credits/allocations", "/ledger", "/usage", "/usage/summary"]
)
@pytest.mark.parametrize("role", [Role.ENDUSER, Role.SUPERVISOR])
async def test_people_see_their_own_lists_only(api: Api, path: str, role: Role) -> None:
    mine = api.person("usr_a", role)
    assert (await api.get(path, mine)).status_code == 200
    assert (await api.get(path, mine, userId="usr_a")).status_code == 200
    assert (await api.get(path, mine, userId="usr_b")).status_code == 403
    assert (await api.get(path, api.admin, userId="usr_b")).status_code == 200


async def test_a_list_of_ones_own_holds_nothing_of_others(api: Api) -> None:
    for user in ("usr_a", "usr_b"):
        await api.give(user, 10)
        await api.initialize(user, f"str_{user}")
        await api.finalize(user, f"str_{user}", outputTokens=400)
    mine = api.person("usr_a")
    for path in ("/credits", "/credits/allocations", "/ledger", "/usage", "/usage/summary"):
        assert "usr_b" not in (await api.get(path, mine)).text
    for path in ("/credits/allocations", "/ledger", "/usage"):
        text = (await api.get(path, api.admin)).text
        assert "usr_a" in text
        assert "usr_b" in text


async def test_a_foreign_session_is_as_absent(api: Api) -> None:
    await api.give("usr_a", 10)
    await api.initialize("usr_a", "str_1")
    headers = {**api.person("usr_b"), "X-Request-Id": "same"}
    foreign = await api.get("/streaming/str_1", headers)
    absent = await api.get("/streaming/str_2", headers)
    odd = await api.get("/streaming/str%00'; --", headers)
    others_list = await api.get("/streaming/active/usr_a", headers)
    assert foreign.status_code == 404
    assert foreign.content == absent.content == odd.content == others_list.content
    supervisor = api.person("usr_s", Role.SUPERVISOR)
    assert (await api.get("/streaming/str_1", supervisor)).status_code == 404
    assert (await api.get("/streaming/str_1", api.person("usr_a"))).status_code == 200
    assert (await api.get("/streaming/str_1", api.admin)).status_code == 200
    assert (await api.get("/streaming/str_1", api.service("streaming:read"))).status_code == 200


async def test_the_path_of_an_action_is_none_of_a_session(api: Api) -> None:
    await api.give("usr_a", 100)
    for action in ("initialize", "heartbeat", "finalize", "abort"):
        assert (await api.initialize("usr_a", action)).status_code == 201  # an id as any other
        answer = await api.get(f"/streaming/{action}", api.admin)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        await api.finalize("usr_a", action)
    await api.initialize("usr_a", "abort_1")
    assert (await api.get("/streaming/abort_1", api.admin)).status_code == 200


async def test_active_streams_are_seen_by_their_owner_admins_and_monitoring(api: Api) -> None:
    for user in ("usr_a", "usr_b"):
        await api.give(user, 10)
        await api.initialize(user, f"str_{user}", chatSessionId=f"ses_{user}")
    own = (await api.get("/streaming/active", api.person("usr_a"))).json()
    [session] = own["sessions"]
    assert (
        session.items()
        >= {
            "sessionId": "str_usr_a",
            "chatSessionId": "ses_usr_a",
            "userId": "usr_a",
            "modelId": SONNET,
            "allocatedCredits": 4,
            "tokensGenerated": 0,
        }.items()
    )
    monitoring = api.service("streaming:read", client="monitoring")
    for headers in (api.admin, monitoring):
        everybody = (await api.get("/streaming/active", headers)).json()
        assert everybody["pagination"]["total"] == 2
        one = (await api.get("/streaming/active/usr_b", headers)).json()
        assert [session["userId"] for session in one["sessions"]] == ["usr_b"]


async def test_services_say_whose_credits_they_mean(api: Api) -> None:
    await api.give("usr_a", 10)
    assert (await api.get("/credits", api.chat)).status_code == 422
    assert (await api.get("/credits", api.chat, userId="usr_a")).json()["available"] == 10
    acting = {**api.chat, "X-On-Behalf-Of": "usr_a"}
    assert (await api.get("/credits", acting)).json()["userId"] == "usr_a"
    person = {**api.person("usr_b"), "X-On-Behalf-Of": "usr_a"}
    assert (await api.get("/credits", person)).json()["userId"] == "usr_b"


async def test_notes_of_an_allocation_are_for_admins(api: Api) -> None:
    body = {"userId": "usr_a", "credits": 1, "note": "for a friend"}
    await api.post("/credits/allocate", body, api.admin, key="k")
    mine = await api.get("/credits/allocations", api.person("usr_a"))
    assert "friend" not in mine.text
    assert "usr_admin" not in mine.text
    assert "friend" in (await api.get("/credits/allocations", api.admin)).text
