"""Signing in: what it gives, what it refuses, how often it may fail."""

import asyncio

import jwt
import pytest
from auth_builders import CHAT_SECRET, PASSWORD, Auth, make_settings, run_auth

from aula_auth.services.passwords import Passwords, Verdict
from aula_common.security.principal import Role
from aula_common.testing import ManualClock

CLAIMS = {"iss", "aud", "sub", "exp", "iat", "nbf", "jti", "role", "tier", "teams", "sid"}


@pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.org", "Ada@Example.org"])
async def test_sign_in_by_either_name_gives_tokens_and_the_user(auth: Auth, name: str) -> None:
    registered = (await auth.register("Ada")).json()
    answer = await auth.login(name)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"accessToken", "refreshToken", "tokenType", "expiresIn", "user"}
    assert (body["tokenType"], body["expiresIn"], body["user"]) == ("Bearer", 900, registered)


async def test_email_may_be_given_in_its_own_field(auth: Auth) -> None:
    await auth.register("ada")
    body = {"email": "ada@example.org", "password": PASSWORD}
    assert (await auth.http.post("/api/auth/login", json=body)).status_code == 200
    both = {**body, "username": "ada"}
    assert (await auth.http.post("/api/auth/login", json=both)).status_code == 422
    assert (await auth.http.post("/api/auth/login", json={"password": "x"})).status_code == 422


async def test_access_token_has_the_claims_of_the_contract(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada", role=Role.SUPERVISOR)
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})
    assert set(claims) == CLAIMS
    assert jwt.get_unverified_header(ada.access_token)["typ"] == "at+jwt"
    assert jwt.get_unverified_header(ada.access_token)["alg"] == "EdDSA"
    now = clock.now().timestamp()
    assert claims["iat"] == pytest.approx(now, abs=0.002)
    assert claims["exp"] == int(now + 900)
    assert claims["nbf"] <= now
    expected = {"iss": "aula", "aud": "aula", "sub": ada.user["id"], "role": "supervisor"}
    assert claims == {**claims, **expected, "tier": "basic", "teams": []}


async def test_unknown_user_and_wrong_password_and_disabled_account_answer_alike(
    auth: Auth,
) -> None:
    await auth.register("ada")
    admin = await auth.admin()
    bob = await auth.person("bob")
    await admin.patch(f"/api/auth/users/{bob.user['id']}", json={"status": "disabled"})
    answers = [
        await auth.http.post(
            "/api/auth/login",
            json={"username": name, "password": password},
            headers={"X-Request-Id": "same"},
        )
        for name, password in (("nobody", PASSWORD), ("ada", "wrong password"), ("bob", PASSWORD))
    ]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({answer.content for answer in answers}) == 1
    heads = [{k: v for k, v in answer.headers.items() if k != "date"} for answer in answers]
    assert heads[0] == heads[1] == heads[2]


async def test_unknown_user_costs_the_same_work(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register("ada")
    verified: list[str | None] = []
    original = Passwords.verify

    async def watched(self: Passwords, password: str, stored: str | None) -> Verdict:
        verified.append(stored)
        return await original(self, password, stored)

    monkeypatch.setattr(Passwords, "verify", watched)
    await auth.login("nobody")
    await auth.login("ada", "wrong password")
    assert len(verified) == 2
    assert verified[0] is None


async def test_failures_for_one_name_from_one_address_are_limited(
    auth: Auth, clock: ManualClock
) -> None:
    await auth.register("ada")
    await auth.register("bob")
    for _ in range(10):
        assert (await auth.login("ada", "wrong password")).status_code == 401
    refused = await auth.login("ADA")
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert refused.json()["retryAfter"] == int(refused.headers["Retry-After"]) == 300
    assert refused.headers["X-RateLimit-Limit"] == "10"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert int(refused.headers["X-RateLimit-Reset"]) > clock.now().timestamp()
    assert (await auth.login("bob")).status_code == 200
    async with auth.client_at("198.51.100.9") as elsewhere:
        body = {"username": "ada", "password": PASSWORD}
        assert (await elsewhere.post("/api/auth/login", json=body)).status_code == 200
    clock.advance(301)
    assert (await auth.login("ada")).status_code == 200


async def test_forwarded_address_of_a_stranger_evades_no_limit(auth: Auth) -> None:
    await auth.register("ada")
    statuses = [
        (
            await auth.http.post(
                "/api/auth/login",
                json={"username": "ada", "password": "wrong password"},
                headers={"X-Forwarded-For": f"203.0.113.{n}", "X-Real-IP": f"203.0.113.{n}"},
            )
        ).status_code
        for n in range(11)
    ]
    assert statuses == [401] * 10 + [429]


async def test_flood_at_once_is_counted_before_it_is_looked_at(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.register("ada")
    verified = 0
    original = Passwords.verify

    async def watched(self: Passwords, password: str, stored: str | None) -> Verdict:
        nonlocal verified
        verified += 1
        return await original(self, password, stored)

    monkeypatch.setattr(Passwords, "verify", watched)
    answers = await asyncio.gather(*(auth.login("ada", "wrong password") for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 30
    assert verified == 10
    assert (await auth.http.get("/api/auth/health")).status_code == 200


async def test_failures_from_one_address_over_many_names_are_limited(mongo_database: str) -> None:
    settings = make_settings(mongo_database, sign_in_failures_per_address=3)
    async with run_auth(settings) as auth:
        await auth.register("ada")
        for _ in range(5):
            assert (await auth.login("ada")).status_code == 200
        statuses = [(await auth.login(f"nobody{n}")).status_code for n in range(4)]
    assert statuses == [401, 401, 401, 429]


async def test_success_forgives_the_failures_before_it(auth: Auth) -> None:
    await auth.register("ada")
    for _ in range(2):
        for _ in range(9):
            await auth.login("ada", "wrong password")
        assert (await auth.login("ada")).status_code == 200


async def test_hash_of_an_older_cost_is_renewed_at_sign_in(mongo_database: str) -> None:
    async with run_auth(make_settings(mongo_database)) as auth:
        await auth.register("ada")
    async with run_auth(make_settings(mongo_database, argon2_memory_kib=128)) as auth:
        assert (await auth.login("ada")).status_code == 200
        found = await auth.context.login._users.find_login("ada")
        assert found is not None
        assert "m=128," in found[1]
        assert (await auth.login("ada")).status_code == 200


@pytest.mark.parametrize("password", [{"$ne": None}, ["x"], 1, True, None, "", "x" * 129, "a\0b"])
async def test_password_that_is_no_fit_text_is_refused(auth: Auth, password: object) -> None:
    body = {"username": "ada", "password": password}
    assert (await auth.http.post("/api/auth/login", json=body)).status_code == 422


async def test_failed_sign_in_shows_no_secret(auth: Auth) -> None:
    answer = await auth.login("ada", "my planted password")
    assert "planted" not in answer.text
    answer = await auth.service_token(client_secret=CHAT_SECRET + "x")
    assert CHAT_SECRET not in answer.text
