"""The published keys, and the mode that publishes none."""

import jwt
from auth_builders import SHARED_SECRET, Auth, make_settings, run_auth, shared_secret_settings
from pydantic import SecretStr

from aula_auth.services.signing import KeyRingSigner
from aula_common.security.keys import parse_jwks

JWKS = "/api/auth/.well-known/jwks.json"


async def test_published_keys_verify_the_tokens(auth: Auth) -> None:
    ada = await auth.person("ada")
    answer = await auth.http.get(JWKS)
    assert answer.status_code == 200
    keys = parse_jwks(answer.json())
    key = keys[jwt.get_unverified_header(ada.access_token)["kid"]]
    claims = jwt.decode(ada.access_token, key.key, algorithms=["EdDSA"], audience="aula")
    assert claims["sub"] == ada.user["id"]
    assert {field for entry in answer.json()["keys"] for field in entry} == {
        "kty",
        "crv",
        "x",
        "kid",
        "use",
        "alg",
    }


async def test_next_key_is_published_before_it_signs(auth: Auth) -> None:
    before = {entry["kid"] for entry in (await auth.http.get(JWKS)).json()["keys"]}
    signer = auth.context.signer
    assert isinstance(signer, KeyRingSigner)
    await signer.rotate()
    ada = await auth.person("ada")
    assert jwt.get_unverified_header(ada.access_token)["kid"] in before


async def test_second_process_knows_the_first_ones_keys_and_people(mongo_database: str) -> None:
    settings = make_settings(mongo_database)
    async with run_auth(settings) as one, run_auth(settings) as two:
        ada = await one.person("ada")
        answer = await two.http.get("/api/auth/me", headers=ada.headers)
        assert answer.json() == ada.user
        assert (await two.http.get(JWKS)).json() == (await one.http.get(JWKS)).json()
        refreshed = await two.refresh(ada.refresh_token)
        again = await one.refresh(ada.refresh_token)
        assert again.json()["refreshToken"] == refreshed.json()["refreshToken"]
        await ada.post("/api/auth/logout")
        answer = await two.http.get("/api/auth/me", headers=ada.headers)
        assert answer.status_code == 401


async def test_other_refresh_secret_ends_the_sessions_and_no_more(mongo_database: str) -> None:
    async with run_auth(make_settings(mongo_database)) as one:
        ada = await one.person("ada")
    renewed = make_settings(mongo_database, jwt_refresh_secret=SecretStr("x" * 32))
    async with run_auth(renewed) as two:
        assert (await two.refresh(ada.refresh_token)).status_code == 401
        assert (await two.login("ada")).status_code == 200


async def test_shared_secret_signs_and_publishes_nothing(mongo_database: str) -> None:
    async with run_auth(shared_secret_settings(mongo_database)) as auth:
        ada = await auth.person("ada")
        assert jwt.get_unverified_header(ada.access_token)["alg"] == "HS256"
        claims = jwt.decode(ada.access_token, SHARED_SECRET, algorithms=["HS256"], audience="aula")
        assert claims["sub"] == ada.user["id"]
        assert (await ada.get("/api/auth/me")).status_code == 200
        assert (await auth.http.get(JWKS)).json() == {"keys": []}
        service = await auth.service_headers()
        assert (await auth.http.get("/api/auth/users", headers=service)).status_code == 200


async def test_modes_do_not_mix(mongo_database: str) -> None:
    async with run_auth(make_settings(mongo_database)) as auth:
        ada = await auth.person("ada")
    async with run_auth(shared_secret_settings(mongo_database)) as shared:
        answer = await shared.http.get("/api/auth/me", headers=ada.headers)
        assert answer.status_code == 401
        bob = await shared.person("bob")
    async with run_auth(make_settings(mongo_database)) as auth:
        assert (await auth.http.get("/api/auth/me", headers=bob.headers)).status_code == 401
