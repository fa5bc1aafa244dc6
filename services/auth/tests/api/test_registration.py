"""Self-registration."""

import asyncio
from typing import Any

import pytest
from auth_builders import PASSWORD, Auth, make_settings, run_auth


async def test_registered_user_is_an_end_user_with_a_random_id(auth: Auth) -> None:
    answer = await auth.register("Ada", displayName="Ada L.")
    assert answer.status_code == 201
    body = answer.json()
    assert {key: body[key] for key in ("username", "email", "displayName", "role", "tier")} == {
        "username": "Ada",
        "email": "Ada@example.org",
        "displayName": "Ada L.",
        "role": "enduser",
        "tier": "basic",
    }
    assert body["id"].startswith("usr_")
    assert "ada" not in body["id"]
    assert not any("password" in key.lower() for key in body)


@pytest.mark.parametrize(
    "extra",
    [{"role": "admin"}, {"tier": "enterprise"}, {"status": "active"}, {"id": "usr_mine"}, {"x": 1}],
)
async def test_role_and_other_unknown_fields_are_refused(auth: Auth, extra: dict[str, Any]) -> None:
    answer = await auth.register("ada", **extra)
    assert answer.status_code == 422
    assert (await auth.login("ada")).status_code == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 33),
        ("username", "ada@home"),
        ("username", "ada\0"),
        ("username", "ada\ud800"),
        ("username", {"$ne": None}),
        ("username", 7),
        ("username", None),
        ("email", "nowhere"),
        ("email", f"{'a' * 250}@example.org"),
        ("email", "a\0@example.org"),
        ("email", {"$gt": ""}),
        ("email", ["a@example.org"]),
        ("password", "7 chars"),
        ("password", "x" * 129),
        ("password", "with a NUL\0"),
        ("password", "surrogate \udfff"),
        ("password", 123456789),
        ("displayName", ""),
        ("displayName", "x" * 101),
    ],
)
async def test_field_that_is_not_allowed_is_refused_without_repeating_it(
    auth: Auth, field: str, value: object
) -> None:
    body = {"username": "ada", "email": "ada@example.org", "password": PASSWORD, field: value}
    # by hand: the lone surrogate must go out as its escape
    answer = await auth.http.post(
        "/api/auth/register", content=_json(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    if isinstance(value, str) and len(value) > 30:
        assert value not in answer.text


async def test_megabyte_password_is_refused_before_hashing(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    for path in ("hash", "verify"):
        monkeypatch.setattr(
            f"aula_auth.services.passwords.Passwords.{path}",
            lambda *arguments: hashed.append(repr(arguments)),
        )
    megabyte = "x" * 1_000_000
    assert (await auth.register("ada", password=megabyte)).status_code == 422
    assert (await auth.login("ada", megabyte)).status_code == 422
    form = {"grant_type": "password", "username": "ada", "password": megabyte}
    assert (await auth.http.post("/api/auth/token", data=form)).status_code == 400
    assert hashed == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "ADA", "email": "other@example.org"}, "username"),
        ({"username": "other", "email": "ADA@Example.ORG"}, "email"),
    ],
)
async def test_name_of_another_in_another_case_is_taken(
    auth: Auth, body: dict[str, str], field: str
) -> None:
    await auth.register("ada")
    answer = await auth.register(**body)
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["field"]) == ("name_taken", field)


async def test_same_address_in_another_case_twice_at_once_is_one_user(auth: Auth) -> None:
    answers = await asyncio.gather(
        *(
            auth.register(f"ada{n}", email=address)
            for n, address in enumerate(["ada@example.org", "ADA@example.org"] * 4)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_registration_can_be_switched_off(mongo_database: str) -> None:
    async with run_auth(make_settings(mongo_database, registration_open=False)) as auth:
        answer = await auth.register("ada")
    assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")


async def test_registrations_from_one_address_are_limited(mongo_database: str) -> None:
    async with run_auth(make_settings(mongo_database, registrations_per_address=2)) as auth:
        statuses = [(await auth.register(f"ada{n}")).status_code for n in range(3)]
        async with auth.client_at("198.51.100.9") as elsewhere:
            body = {"username": "bob", "email": "bob@example.org", "password": PASSWORD}
            other = await elsewhere.post("/api/auth/register", json=body)
    assert statuses == [201, 201, 429]
    assert other.status_code == 201


def _json(body: dict[str, object]) -> bytes:
    import json  # noqa: PLC0415 - named like the argument of httpx that it stands in for

    return json.dumps(body).encode()
