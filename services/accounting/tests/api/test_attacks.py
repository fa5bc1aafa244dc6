"""No input bends the books, and none gives a 5xx."""

import json
from typing import Any

import pytest
from accounting_builders import SONNET, Api

from aula_common.security.principal import Role

_IDS = {"sessionId": "str_1", "userId": "usr_a"}
_ABSURD_NUMBERS: list[Any] = [
    -1,
    1.5,
    1.0,
    True,
    False,
    "1",
    2**63,
    2**53,
    10**30,
    None,
    [1],
    {"$gt": 0},
]
_RAW_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-0.0", "1" * 5000]
_ODD_IDS: list[Any] = [
    "",
    " ",
    "a b",
    "a\0b",
    "\ud800",
    "x" * 65,
    "../etc",
    "'; DROP TABLE accounts; --",
    7,
    None,
    True,
    ["usr_a"],
    {"$ne": None},
    {"$where": "1"},
]


def _bodies(field: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    return {
        "inputTokens": [
            ("initialize", {"modelId": SONNET, "inputTokens": value}),
            ("finalize", {"inputTokens": value, "outputTokens": 1}),
        ],
        "maxOutputTokens": [
            ("initialize", {"modelId": SONNET, "inputTokens": 1, "maxOutputTokens": value})
        ],
        "estimatedTokens": [("initialize", {"modelId": SONNET, "estimatedTokens": value})],
        "tokensGenerated": [
            ("heartbeat", {"tokensGenerated": value}),
            ("abort", {"tokensGenerated": value}),
        ],
        "actualTokens": [("finalize", {"actualTokens": value})],
        "outputTokens": [("finalize", {"inputTokens": 1, "outputTokens": value})],
    }[field]


_NUMBERS = [
    "inputTokens",
    "maxOutputTokens",
    "estimatedTokens",
    "tokensGenerated",
    "actualTokens",
    "outputTokens",
]


@pytest.mark.parametrize("field", _NUMBERS)
async def test_absurd_token_counts_are_refused(api: Api, field: str) -> None:
    await api.give("usr_a", 100)
    assert (await api.initialize("usr_a", "str_1")).status_code == 201
    for value in _ABSURD_NUMBERS:
        for action, body in _bodies(field, value):
            if value is None and field == "maxOutputTokens":
                continue  # absent
            ids = {**_IDS, "sessionId": "str_2"} if action == "initialize" else _IDS
            answer = await api.post(f"/streaming/{action}", {**ids, **body}, api.chat)
            assert answer.status_code == 422, (action, value, answer.text)
            assert "errors" in answer.json()
    balance = await api.context.credits.get_balance("usr_a")
    assert (balance.available, balance.held) == (96, 4)


@pytest.mark.parametrize("number", _RAW_NUMBERS)
async def test_numbers_that_are_none_are_refused(api: Api, number: str) -> None:
    for path, body in (
        ("/streaming/finalize", f'{{"sessionId":"a","userId":"b","actualTokens":{number}}}'),
        ("/credits/allocate", f'{{"userId":"b","credits":{number}}}'),
        ("/credits/check", f'{{"credits":{number}}}'),
    ):
        headers = api.admin if path.startswith("/credits") else api.chat
        answer = await api.http.post(
            f"/api/accounting{path}",
            content=body,
            headers={**headers, "Content-Type": "application/json", "Idempotency-Key": "k"},
        )
        assert answer.status_code in (400, 422), (path, answer.text)
        assert number not in answer.text or len(number) < 4


@pytest.mark.parametrize("value", _ODD_IDS)
async def test_ids_that_are_none_are_refused(api: Api, value: Any) -> None:
    for action, body in (
        ("initialize", {"modelId": SONNET, "inputTokens": 1}),
        ("finalize", {"actualTokens": 1}),
        ("abort", {}),
        ("heartbeat", {"tokensGenerated": 1}),
    ):
        for field in ("sessionId", "userId"):
            content = json.dumps({**_IDS, **body, field: value})
            answer = await api.http.post(
                f"/api/accounting/streaming/{action}",
                content=content,
                headers={**api.chat, "Content-Type": "application/json"},
            )
            assert answer.status_code == 422, (action, field, answer.text)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"userId": "a", "credits": 1, "\\ud800": 1}',
        b'{"userId": "a", "\\u0000": 1}',
    ],
)
async def test_bodies_that_are_none_are_refused(api: Api, body: bytes) -> None:
    answer = await api.http.post(
        "/api/accounting/credits/allocate",
        content=body,
        headers={**api.admin, "Content-Type": "application/json", "Idempotency-Key": "k"},
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_unknown_fields_are_refused_everywhere(api: Api) -> None:
    surprise = {"surprise": 1}
    for path, body in (
        ("/streaming/initialize", {**_IDS, "modelId": SONNET, "inputTokens": 1}),
        ("/streaming/heartbeat", {**_IDS, "tokensGenerated": 1}),
        ("/streaming/finalize", {**_IDS, "actualTokens": 1}),
        ("/streaming/abort", _IDS),
    ):
        answer = await api.post(path, {**body, **surprise}, api.chat)
        assert answer.status_code == 422
    grant = {"userId": "usr_a", "credits": 1, **surprise}
    assert (await api.post("/credits/allocate", grant, api.admin, key="k")).status_code == 422
    check = {"credits": 1, **surprise}
    assert (await api.post("/credits/check", check, api.admin)).status_code == 422


async def test_a_grant_can_not_overflow_a_balance(api: Api) -> None:
    for amount in (0, -1, 10**12 + 1, 2**53, 2**63, 1.5, "1"):
        body: dict[str, Any] = {"userId": "usr_a", "credits": amount}
        answer = await api.post("/credits/allocate", body, api.admin, key="k")
        assert answer.status_code == 422, amount
    async with api.context.engine.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO accounts VALUES ('usr_a', 9007199254740000, 0, now())"
        )
    body = {"userIds": ["usr_b", "usr_a"], "credits": 10**12}
    answer = await api.post("/credits/allocate", body, api.admin, key="k")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "credits"
    assert (await api.context.credits.get_balance("usr_b")).available == 0


async def test_usage_far_above_the_hold_takes_the_hold_and_no_more(api: Api) -> None:
    await api.give("usr_a", 100)
    await api.initialize("usr_a", "str_1")
    ended = (await api.finalize("usr_a", "str_1", inputTokens=10**12, outputTokens=10**12)).json()
    assert (ended["actualCredits"], ended["refund"]) == (4, 0)
    assert ended["overrun"] == 6 * 10**9 - 4
    assert (await api.get("/credits", api.admin, userId="usr_a")).json()["available"] == 96


async def test_a_key_of_one_admin_is_not_answered_to_another(api: Api) -> None:
    body = {"userId": "usr_a", "credits": 5}
    first = await api.post("/credits/allocate", body, api.admin, key="k")
    other = await api.post("/credits/allocate", body, api.person("usr_other", Role.ADMIN), key="k")
    assert first.json()["allocations"][0]["allocationId"] not in other.text
    assert other.json()["allocations"][0]["createdBy"] == "usr_other"


@pytest.mark.parametrize(
    "query",
    [
        {"userId": "a b"},
        {"userId": "\0"},
        {"userId": "x" * 65},
        {"from": "yesterday"},
        {"from": "0001-01-01T00:00:00+12:00"},
        {"to": "9999-12-31T23:59:59-12:00"},
        {"by": "'; --"},
        {"from": "1"},
    ],
)
async def test_odd_queries_are_refused(api: Api, query: dict[str, str]) -> None:
    answer = await api.get("/usage/summary", api.admin, **query)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "path",
    ["/streaming/a%00", "/streaming/active/a%00b", "/streaming/%ff", f"/streaming/{'x' * 99}"],
)
async def test_odd_paths_are_absent(api: Api, path: str) -> None:
    assert (await api.get(path, api.admin)).status_code == 404
