"""What the tests of auth share: settings, a running application, signed-in people."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from aula_auth.factory import Context
from aula_auth.main import create_app
from aula_auth.services.registration import NewUser
from aula_auth.settings import Settings
from aula_common.clock import Clock
from aula_common.security.principal import Role
from aula_common.settings import Environment, MongoSettings, TokenSettings
from aula_common.testing import ManualClock

PASSWORD = "correct horse battery"
REFRESH_SECRET = "refresh-secret-of-32-bytes-at-least"
SIGNING_SECRET = "signing-secret-of-32-bytes-at-least"
SHARED_SECRET = "shared-secret-of-32-bytes-at-least!"
CHAT_SECRET = "the-secret-of-chat"
CLIENTS = {
    "chat": {
        "secret": CHAT_SECRET,
        "scopes": {
            "accounting": ["streaming:write", "rates:read"],
            "auth": ["users:read", "revocations:read"],
        },
    },
    "accounting": {"secret": "the-secret-of-accounting", "scopes": {"auth": ["revocations:read"]}},
}


def make_settings(mongo_uri: str = "mongodb://127.0.0.1:9/none", **overrides: Any) -> Settings:
    """Settings with cheap hashes; nothing is taken from the machine's own environment."""
    chosen: dict[str, Any] = {
        "aula_env": Environment.DEVELOPMENT,
        "tokens": TokenSettings(),
        "mongo": MongoSettings(mongo_uri=SecretStr(mongo_uri)),
        "jwt_refresh_secret": SecretStr(REFRESH_SECRET),
        "signing_keys_secret": SecretStr(SIGNING_SECRET),
        "service_clients": CLIENTS,
        "argon2_memory_kib": 64,
        "argon2_passes": 1,
        **overrides,
    }
    return Settings(**chosen)


def shared_secret_settings(mongo_uri: str) -> Settings:
    """Settings of the shared-secret mode."""
    return make_settings(
        mongo_uri,
        tokens=TokenSettings(jwt_access_secret=SecretStr(SHARED_SECRET)),
        signing_keys_secret=None,
    )


def clock_from_now() -> ManualClock:
    """A held clock; the database's own expiry goes by real time, so it doesn't start before it."""
    return ManualClock(datetime.now(UTC))


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """A person with tokens."""

    http: httpx.AsyncClient
    user: dict[str, Any]
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return await self.http.request(method, path, headers=self.headers, **arguments)

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("GET", path, **arguments)

    async def post(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("POST", path, **arguments)

    async def patch(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("PATCH", path, **arguments)


@dataclass(frozen=True, kw_only=True)
class Auth:
    """A running application of auth, and what tests do to it."""

    app: FastAPI
    http: httpx.AsyncClient

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    def client_at(self, address: str) -> httpx.AsyncClient:
        """A client with another address; the caller closes it."""
        return http_client(self.app, address)

    async def register(self, username: str, **overrides: Any) -> httpx.Response:
        body = {"username": username, "email": f"{username}@example.org", "password": PASSWORD}
        return await self.http.post("/api/auth/register", json={**body, **overrides})

    async def login(self, username: str, password: str = PASSWORD) -> httpx.Response:
        return await self.http.post(
            "/api/auth/login", json={"username": username, "password": password}
        )

    async def refresh(self, refresh_token: str) -> httpx.Response:
        return await self.http.post("/api/auth/refresh", json={"refreshToken": refresh_token})

    async def sign_in(self, username: str, password: str = PASSWORD) -> SignedIn:
        answer = await self.login(username, password)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return SignedIn(
            http=self.http,
            user=body["user"],
            access_token=body["accessToken"],
            refresh_token=body["refreshToken"],
        )

    async def person(self, username: str, *, role: Role = Role.ENDUSER) -> SignedIn:
        """A new person of that role, signed in."""
        await self.context.registration.create(
            NewUser(
                username=username, email=f"{username}@example.org", password=PASSWORD, role=role
            ),
            actor_id=None,
        )
        return await self.sign_in(username)

    async def admin(self) -> SignedIn:
        return await self.person("root", role=Role.ADMIN)

    async def service_token(self, audience: str = "auth", **overrides: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": "chat",
            "client_secret": CHAT_SECRET,
            "audience": audience,
        }
        return await self.http.post("/api/auth/token", data={**form, **overrides})

    async def service_headers(self, **overrides: str) -> dict[str, str]:
        answer = await self.service_token(**overrides)
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def http_client(app: FastAPI, address: str = "192.0.2.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://auth.test")


@asynccontextmanager
async def run_auth(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Auth]:
    """The application with its lifespan, called in this process."""
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app), http_client(app) as http:
        yield Auth(app=app, http=http)
