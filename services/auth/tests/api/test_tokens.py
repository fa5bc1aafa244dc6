"""The OAuth token endpoint."""

import base64
from typing import Any

import jwt
import pytest
from auth_builders import CHAT_SECRET, PASSWORD, Auth

CLIENT: dict[str, str] = {
    "grant_type": "client_credentials",
    "client_id": "chat",
    "client_secret": CHAT_SECRET,
    "audience": "accounting",
}


async def test_service_gets_a_token_for_one_audience(auth: Auth) -> None:
    answer = await auth.http.post("/api/auth/token", data=CLIENT)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["scope"] == "rates:read streaming:write"
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "role", "scope", "exp", "iat", "nbf", "jti"}
    assert (claims["sub"], claims["aud"], claims["role"]) == ("chat", "accounting", "service")
    assert jwt.get_unverified_header(body["access_token"])["typ"] == "at+jwt"


async def test_service_may_authenticate_by_header_and_ask_for_less(auth: Auth) -> None:
    basic = base64.b64encode(f"chat:{CHAT_SECRET}".encode()).decode()
    form = {
        "grant_type": "client_credentials",
        "audience": "accounting",
        "scope": "rates:read",
    }
    answer = await auth.http.post(
        "/api/auth/token", data=form, headers={"Authorization": f"Basic {basic}"}
    )
    assert (answer.status_code, answer.json()["scope"]) == (200, "rates:read")


async def test_password_grant_gives_a_pair_that_works(auth: Auth) -> None:
    await auth.register("ada")
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    body = (await auth.http.post("/api/auth/token", data=form)).json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert (await auth.http.get("/api/auth/me", headers=headers)).status_code == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    answer = await auth.http.post("/api/auth/token", data=refresh)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] != body["refresh_token"]


async def test_unknown_parameters_are_ignored(auth: Auth) -> None:
    answer = await auth.http.post("/api/auth/token", data={**CLIENT, "resource": "x", "y": ""})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"audience": "monitoring"}, 400, "invalid_target"),
        ({"audience": ""}, 400, "invalid_target"),
        ({"scope": "credits:write"}, 400, "invalid_scope"),
        ({"scope": "rates:read users:read"}, 400, "invalid_scope"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"audience": "a\0b"}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "ada", "password": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
    ],
)
async def test_refusals_are_oauths_own(
    auth: Auth, changes: dict[str, str], status: int, error: str
) -> None:
    answer = await auth.http.post("/api/auth/token", data={**CLIENT, **changes})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "request_",
    [
        {"content": b"grant_type=password&grant_type=password"},
        {"content": b"grant_type=%ff"},
        {"content": b"\xff\xfe"},
        {"content": b"&".join(b"a%d=1" % n for n in range(100))},
        {"content": b""},
        {"json": CLIENT, "headers": {}},
        {"files": {"grant_type": "password"}, "headers": {}},
    ],
)
async def test_form_that_cannot_be_read_is_an_invalid_request(
    auth: Auth, request_: dict[str, Any]
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await auth.http.post("/api/auth/token", **{"headers": headers, **request_})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic Y2hhdA==", "Basic gIA="])
async def test_header_that_cannot_be_read_is_an_invalid_client(auth: Auth, value: str) -> None:
    form = {"grant_type": "client_credentials", "audience": "auth"}
    answer = await auth.http.post("/api/auth/token", data=form, headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_flood_of_passwords_is_429_in_oauths_envelope(auth: Auth) -> None:
    form = {"grant_type": "password", "username": "ada", "password": "wrong password"}
    for _ in range(10):
        assert (await auth.http.post("/api/auth/token", data=form)).status_code == 400
    answer = await auth.http.post("/api/auth/token", data=form)
    assert answer.status_code == 429
    assert set(answer.json()) == {"error", "error_description"}
    assert int(answer.headers["Retry-After"]) > 0


async def test_token_for_another_audience_does_not_open_auth(auth: Auth) -> None:
    headers = await auth.service_headers(audience="accounting")
    assert (await auth.http.get("/api/auth/users", headers=headers)).status_code == 401
