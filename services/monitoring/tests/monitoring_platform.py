"""The whole of it for API tests: the real app, a real database, the far side on a real port."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from fastapi import FastAPI
from monitoring_far_side import Conversation, FarSide
from monitoring_servers import RunningServer, serving
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from aula_common.security.principal import Role
from aula_common.settings import MongoSettings
from aula_common.testing import TokenMint
from aula_monitoring.main import create_app
from aula_monitoring.settings import ObservationSettings, Settings, SupervisionTokenSettings

ADMIN, SUPERVISOR, STUDENT = "usr_admin", "usr_supervisor", "usr_student"
STRANGER, OTHER = "usr_stranger", "usr_other"
SESSION, OTHER_SESSION = "ses_one", "ses_other"
PATIENCE = 15.0


async def until(condition: Callable[[], Any], *, patience: float = PATIENCE) -> None:
    """Wait for something that shows only by looking."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


@dataclass
class Answer:
    """An answer that was read whole."""

    status: int
    raw: bytes
    body: Any
    headers: dict[str, str]


class Observer:
    """Reads an observation event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.received = b""

    async def read_until(self, mark: bytes) -> bytes:
        """Read until the mark came; all that came so far."""
        async with asyncio.timeout(PATIENCE):
            while mark not in self.received:
                chunk = await self.response.content.readany()
                assert chunk, f"the stream ended without {mark!r}: {self.received!r}"
                self.received += chunk
        return self.received

    async def read_all(self) -> bytes:
        """Read until the stream ends."""
        async with asyncio.timeout(PATIENCE):
            while chunk := await self.response.content.readany():
                self.received += chunk
        return self.received

    @property
    def ids(self) -> list[str]:
        """The ids of the numbered events so far."""
        return re.findall(r"^id: (.+)$", self.received.decode(), re.MULTILINE)


class Platform:
    """What a test talks to."""

    def __init__(
        self, *, app: FastAPI, far: FarSide, far_server: RunningServer, server: RunningServer,
        http: aiohttp.ClientSession, mongo: AsyncMongoClient[dict[str, Any]],
    ) -> None:  # fmt: skip
        self.app = app
        self.far = far
        self.far_server = far_server
        self.server = server
        self.http = http
        self.database = mongo.get_default_database()
        self.tokens = {
            ADMIN: far.person(ADMIN, Role.ADMIN),
            SUPERVISOR: far.person(SUPERVISOR, Role.SUPERVISOR, name="Frida"),
            STRANGER: far.person(STRANGER, Role.SUPERVISOR, name="Gustav"),
            STUDENT: far.person(STUDENT, Role.ENDUSER, name="Lena"),
            OTHER: far.person(OTHER, Role.ENDUSER, name="Leo"),
        }
        far.conversations[SESSION] = Conversation(
            STUDENT, history=[("user", "why is the sky blue"), ("assistant", "it scatters")]
        )
        far.conversations[OTHER_SESSION] = Conversation(OTHER, history=[("user", "private")])

    async def ask(
        self, method: str, path: str, *, by: str | None, json: Any = None, **headers: str
    ) -> Answer:
        """One request by one of the people, or with a token."""
        async with self.http.request(
            method, self.server.url + path, json=json, headers=self.headers(by, **headers)
        ) as response:
            raw = await response.read()
            body = await response.json(content_type=None) if raw else None
            return Answer(response.status, raw, body, dict(response.headers))

    def headers(self, by: str | None, **headers: str) -> dict[str, str]:
        """The headers of a request by one of the people."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if by is None:
            return named
        return named | {"Authorization": f"Bearer {self.tokens.get(by, by)}"}

    async def relate(
        self, supervisor: str = SUPERVISOR, student: str = STUDENT, **fields: Any
    ) -> str:
        """Make a relationship; its id."""
        answer = await self.ask(
            "POST", "/api/monitoring/relationships", by=ADMIN,
            json={"supervisorId": supervisor, "studentId": student, **fields},
        )  # fmt: skip
        assert answer.status == 201, answer.raw
        return str(answer.body["id"])

    @asynccontextmanager
    async def observing(
        self, path: str = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe",
        *, by: str = SUPERVISOR, status: int = 200, **headers: str,
    ) -> AsyncIterator[Observer]:  # fmt: skip
        """An observation under way; the observer leaves at the end of the block."""
        async with self.http.get(
            self.server.url + path, headers=self.headers(by, **headers)
        ) as response:
            assert response.status == status, await response.text()
            yield Observer(response)

    async def audit(self, **query: Any) -> list[dict[str, Any]]:
        """The stored audit, oldest first."""
        return await self.database["audit"].find(query).sort("at", 1).to_list()

    async def ended_audit(self, *, count: int = 1) -> list[dict[str, Any]]:
        """So many observations' entries, once their ends are stored."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.audit(kind="observe", ended_at={"$ne": None})
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)


def build_settings(mongo_uri: str, far_url: str, **limits: Any) -> Settings:
    """Settings with quick periods, all services at one address."""
    return Settings(
        port=0,
        chat_api_url=far_url,
        accounting_api_url=far_url,
        tokens=SupervisionTokenSettings(
            auth_api_url=far_url,
            service_client_id="monitoring",
            service_client_secret=SecretStr("test"),
            revocation_poll_seconds=0.1,
        ),
        mongo=MongoSettings(mongo_uri=SecretStr(mongo_uri), mongo_timeout_seconds=1),
        observations=ObservationSettings(
            **{
                "observation_check_seconds": 0.2,
                "observation_verify_seconds": 1,
                "observation_renew_seconds": 0.1,
                "observation_resume_seconds": 10,
                **limits,
            }
        ),
    )


@asynccontextmanager
async def running_platform(mongo_uri: str, **limits: Any) -> AsyncIterator[Platform]:
    """Everything up; everything down afterwards."""
    far = FarSide(TokenMint())
    async with (
        serving(far.app) as far_server,
        AsyncMongoClient[dict[str, Any]](
            mongo_uri, tz_aware=True, serverSelectionTimeoutMS=2000
        ) as mongo,
    ):
        app = create_app(build_settings(mongo_uri, far_server.url, **limits))
        async with (
            serving(app, lifespan="on") as server,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        ):
            yield Platform(
                app=app,
                far=far,
                far_server=far_server,
                server=server,
                http=http,
                mongo=mongo,
            )
