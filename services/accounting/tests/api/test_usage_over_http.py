"""The contract of usage, over HTTP, as JSON and as comma-separated values."""

import csv
from typing import Any

import pytest
from accounting_builders import OPUS, SONNET, Api

_TRACK = {"userId": "usr_a", "modelId": SONNET, "inputTokens": 1000, "outputTokens": 0}


async def _csv(api: Api, path: str, headers: dict[str, str], **params: Any) -> list[list[str]]:
    answer = await api.get(path, {**headers, "Accept": "text/csv"}, **params)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "Accept" in answer.headers["Vary"]
    return list(csv.reader(answer.text.splitlines()))


async def test_usage_outside_streams_is_charged_once_for_its_key(api: Api) -> None:
    await api.give("usr_a", 10)
    assert (await api.post("/usage/track", _TRACK, api.chat)).status_code == 422
    first = await api.post("/usage/track", _TRACK, api.chat, key="k")
    assert first.status_code == 201
    body = first.json()
    assert (body["credits"], body["userId"], body["modelId"]) == (3, "usr_a", SONNET)
    again = await api.post("/usage/track", _TRACK, api.chat, key="k")
    assert (again.status_code, again.content) == (201, first.content)
    other = await api.post("/usage/track", {**_TRACK, "inputTokens": 9}, api.chat, key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    [used] = (await api.get("/usage", api.person("usr_a"))).json()["usage"]
    assert (used["sessionId"], used["credits"]) == (body["sessionId"], 3)
    poor = await api.post("/usage/track", {**_TRACK, "modelId": OPUS}, api.chat, key="k2")
    assert (poor.status_code, poor.json()["code"]) == (402, "insufficient_credits")


@pytest.mark.parametrize("value", [-1, 1.5, 1.0, True, "1", 2**63, 10**30, None, [1]])
async def test_absurd_usage_is_refused(api: Api, value: Any) -> None:
    await api.give("usr_a", 10)
    for body in (
        {**_TRACK, "inputTokens": value},
        {**_TRACK, "outputTokens": value},
        {"userId": "usr_a", "modelId": SONNET, "actualTokens": value},
    ):
        assert (await api.post("/usage/track", body, api.chat, key="k")).status_code == 422
    assert (await api.context.credits.get_balance("usr_a")).available == 10


async def test_only_services_track(api: Api) -> None:
    await api.give("usr_a", 10)
    for headers in (api.person("usr_a"), api.admin, api.service("credits:read")):
        assert (await api.post("/usage/track", _TRACK, headers, key="k")).status_code == 403
    assert (await api.http.post("/api/accounting/usage/track", json=_TRACK)).status_code == 401
    assert (await api.context.credits.get_balance("usr_a")).available == 10


async def test_usage_as_csv_is_the_same_page(api: Api) -> None:
    await api.give("usr_a", 100)
    for number in range(3):
        await api.initialize("usr_a", f"str_{number}")
        await api.finalize("usr_a", f"str_{number}", outputTokens=1000)
    mine = api.person("usr_a")
    page = (await api.get("/usage", mine, limit=2)).json()["usage"]
    header, *rows = await _csv(api, "/usage", mine, limit=2)
    assert header == list(page[0])
    assert [dict(zip(header, row, strict=True)) for row in rows] == [
        {name: "" if value is None else str(value) for name, value in one.items()} for one in page
    ]
    answer = await api.get("/usage", {**mine, "Accept": "text/csv"}, limit=2)
    assert answer.headers["X-Total-Count"] == "3"


async def test_the_summary_as_csv_and_by_pages(api: Api) -> None:
    for user, uses in (("usr_a", 2), ("usr_b", 1), ("usr_c", 1)):
        await api.give(user, 100)
        for number in range(uses):
            body = {**_TRACK, "userId": user}
            await api.post("/usage/track", body, api.chat, key=f"{user}_{number}")
    header, *rows = await _csv(api, "/usage/summary", api.admin, by="user", limit=2)
    assert header == [
        "key",
        "streams",
        "inputTokens",
        "outputTokens",
        "unsplitTokens",
        "credits",
        "overrun",
    ]
    assert [(row[0], row[5]) for row in rows] == [("usr_a", "6"), ("usr_b", "3")]
    second = (await api.get("/usage/summary", api.admin, by="user", limit=2, page=2)).json()
    assert [group["key"] for group in second["groups"]] == ["usr_c"]
    assert second["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
    assert second["timeZone"] == "UTC"
    for by, keys in (("service", ["chat"]), ("model", [SONNET])):
        rows = await _csv(api, "/usage/summary", api.admin, by=by)
        assert [row[0] for row in rows[1:]] == keys


async def test_a_cell_that_a_spreadsheet_would_compute_is_text(api: Api) -> None:
    await api.give("-usr", 10)
    await api.post("/usage/track", {**_TRACK, "userId": "-usr"}, api.chat, key="k")
    rows = await _csv(api, "/usage/summary", api.admin, by="user")
    assert rows[1][0] == "'-usr"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/csv;q=odd", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv; charset=utf-8"),
        ("TEXT/CSV", "text/csv; charset=utf-8"),
    ],
)
async def test_csv_is_for_those_who_prefer_it(api: Api, accept: str, kind: str) -> None:
    answer = await api.get("/usage", {**api.person("usr_a"), "Accept": accept})
    assert answer.headers["Content-Type"] == kind
    assert "Accept" in answer.headers["Vary"]
