"""Requests that nobody should send."""

from collections.abc import AsyncIterator

import pytest
from auth_builders import Auth

JSON = {"Content-Type": "application/json"}
BODIES = {
    "not json": (b"{", 400),
    "nothing": (b"", 422),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "deep": (b'{"username":' + b"[" * 100_000, 400),
    "long number": (b'{"username": ' + b"9" * 5_000 + b"}", 400),
    "NaN": (b'{"username": NaN, "password": "x"}', 422),
    "bad utf-8": (b'{"username": "\xff\xfe", "password": "x"}', 400),
    "repeated key": (b'{"username": "a", "username": {"$ne": 1}, "password": "x"}', 422),
    "NUL in a key": (b'{"user\\u0000name": "a", "password": "x"}', 422),
    "where": (b'{"username": {"$where": "1"}, "password": "x"}', 422),
    "dotted": (b'{"user.name": "a", "password": "x"}', 422),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register", "/api/auth/refresh"])
async def test_body_that_is_no_request_is_refused(auth: Auth, path: str, name: str) -> None:
    content, expected = BODIES[name]
    answer = await auth.http.post(path, content=content, headers=JSON)
    assert answer.status_code == expected
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_body_that_is_too_large_is_refused(auth: Auth) -> None:
    answer = await auth.http.post("/api/auth/login", content=b"x" * 1_100_000, headers=JSON)
    assert answer.status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    answer = await auth.http.post("/api/auth/login", content=pieces(), headers=JSON)
    assert answer.status_code == 413


async def test_health_is_open_and_version_is_not(auth: Auth) -> None:
    assert (await auth.http.get("/api/auth/health")).json()["status"] == "ok"
    assert (await auth.http.get("/livez")).status_code == 200
    assert (await auth.http.get("/readyz")).status_code == 200
    assert (await auth.http.get("/api/version")).status_code == 401
    ada = await auth.person("ada")
    assert (await ada.get("/api/version")).json()["service"] == "auth"
