"""What the tests of chat share: a running application on a port, and callers of every kind."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from signing_authority import CLIENT, CLIENT_SECRET
from waiting import PATIENCE, until

from aula_chat.factory import Process
from aula_chat.main import create_app
from aula_chat.settings import Settings, StreamSettings
from aula_common.ids import new_id
from aula_common.security.principal import Role
from aula_common.settings import (
    AwsSettings,
    Environment,
    MongoSettings,
    RedisSettings,
    TokenSettings,
)
from aula_common.testing import TokenMint
from aula_common.web.protocol import Protocol
from aula_devstack.sse_client import SseEvent, SseParser

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"  # 3 credits per 1,000 tokens
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"  # .25
OPUS = "anthropic.claude-3-opus-20240229-v1:0"  # 15
TITAN = "amazon.titan-text-express-v1"
NUMBERED = frozenset({"start", "model", "chunk", "complete", "error"})
OBSERVE = ("conversations:read", "observations:write")
UNENDING = "[[pace=20 tokens=2000]] Explain rain."  # for 40 s: to be stopped, however slow all is


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What stands around a chat process: the addresses of the others, and who signs tokens."""

    mint: TokenMint
    auth_url: str
    accounting_url: str
    mongo_uri: str
    redis_url: str

    def settings(self, **streams: Any) -> Settings:
        """Settings of a chat process here, with these durations."""
        drain_deadline = streams.pop("drain_deadline", 130)
        return Settings(
            aula_env=Environment.DEVELOPMENT,
            port=0,
            drain_deadline=drain_deadline,
            accounting_api_url=self.accounting_url,
            tokens=TokenSettings(
                auth_api_url=self.auth_url,
                service_client_id=CLIENT,
                service_client_secret=SecretStr(CLIENT_SECRET),
            ),
            mongo=MongoSettings(mongo_uri=SecretStr(self.mongo_uri)),
            redis=RedisSettings(redis_url=SecretStr(self.redis_url)),
            aws=AwsSettings(aws_access_key_id="AKIDTEST", aws_secret_access_key=SecretStr("local")),
            streams=StreamSettings(**streams),
        )


@dataclass(kw_only=True)
class Reading:
    """An event stream that is being read; `events` grows."""

    response: httpx.Response
    events: list[SseEvent] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    ended: bool = False
    _parser: SseParser = field(default_factory=SseParser)
    _pieces: AsyncIterator[bytes] | None = None

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]

    @property
    def text(self) -> str:
        return text_of(self.events)

    async def until(self, holds: Callable[["Reading"], bool]) -> "Reading":
        """Read on until it holds; fails if the stream ends before."""
        async with asyncio.timeout(PATIENCE):
            while not holds(self):
                if not await self._more():
                    raise AssertionError(f"the stream ended with {self.names}")
        return self

    async def until_seen(self, name: str, times: int = 1) -> "Reading":
        """Read on until so many events of that name were seen."""
        return await self.until(lambda reading: reading.names.count(name) >= times)

    async def until_more(self, events: int) -> "Reading":
        """Read on until so many more events came."""
        wanted = len(self.events) + events
        return await self.until(lambda reading: len(reading.events) >= wanted)

    async def to_end(self) -> list[SseEvent]:
        """Read everything."""
        async with asyncio.timeout(2 * PATIENCE):
            while await self._more():
                pass
        return self.events

    async def _more(self) -> bool:
        if self._pieces is None:
            self._pieces = self.response.aiter_raw()
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self.ended = True
            return False
        self.raw += piece
        self.events += self._parser.feed(piece)
        return True


def text_of(events: list[SseEvent]) -> str:
    """What the chunks showed."""
    return "".join(event.json()["text"] for event in events if event.event == "chunk")


def numbers_of(events: list[SseEvent]) -> list[int]:
    """The numbers of numbered events; a notice has none, though parsers repeat the last id."""
    return [int(event.id.rpartition(".")[2]) for event in events if event.event in NUMBERED]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody with a token."""

    id: str
    http: httpx.AsyncClient
    token: str

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **arguments.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **arguments)

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        return await self.request("GET", path, **arguments)

    async def post(self, path: str, json: Any = None, **arguments: Any) -> httpx.Response:
        return await self.request("POST", path, json=json, **arguments)

    @asynccontextmanager
    async def reading(self, method: str, path: str, **arguments: Any) -> AsyncIterator[Reading]:
        """An event stream, from its head on."""
        headers = {"Authorization": f"Bearer {self.token}", **arguments.pop("headers", {})}
        async with self.http.stream(method, path, headers=headers, **arguments) as response:
            yield Reading(response=response)

    async def new_session(self, **body: Any) -> str:
        answer = await self.post("/api/chat/sessions", body)
        assert answer.status_code == 201, answer.text
        session_id: str = answer.json()["sessionId"]
        return session_id

    def asking(
        self, session_id: str, message: str, **arguments: Any
    ) -> AbstractAsyncContextManager[Reading]:
        """Ask and read the answer."""
        body = {"message": message, **arguments.pop("body", {})}
        return self.reading(
            "POST", f"/api/chat/sessions/{session_id}/stream", json=body, **arguments
        )

    async def ask(self, session_id: str, message: str, **arguments: Any) -> list[SseEvent]:
        """The whole answer's events."""
        async with self.asking(session_id, message, **arguments) as reading:
            assert reading.response.status_code == 200, await reading.response.aread()
            return await reading.to_end()

    def following(
        self, session_id: str, last_event_id: str | None = None, **arguments: Any
    ) -> AbstractAsyncContextManager[Reading]:
        """Follow the session's answer."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        return self.reading(
            "GET", f"/api/chat/sessions/{session_id}/stream", headers=headers, **arguments
        )

    async def follow(self, session_id: str, last_event_id: str | None = None) -> list[SseEvent]:
        async with self.following(session_id, last_event_id) as reading:
            assert reading.response.status_code == 200, await reading.response.aread()
            return await reading.to_end()

    async def stop(self, session_id: str) -> None:
        """Stop the session's answer, which runs."""
        answer = await self.post(f"/api/chat/sessions/{session_id}/stop")
        assert answer.status_code == 200, answer.text

    async def messages(self, session_id: str) -> list[dict[str, Any]]:
        answer = await self.get(f"/api/chat/sessions/{session_id}/messages")
        assert answer.status_code == 200, answer.text
        messages: list[dict[str, Any]] = answer.json()["messages"]
        return messages


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A running chat process, and those who call it."""

    app: FastAPI
    http: httpx.AsyncClient
    around: Surroundings
    server: uvicorn.Server

    @property
    def process(self) -> Process:
        process: Process = self.app.state.process
        return process

    def person(
        self, user_id: str | None = None, role: Role = Role.ENDUSER, tier: str = "basic"
    ) -> Caller:
        """Somebody signed in."""
        user_id = user_id or new_id("usr")
        token = self.around.mint.user(user_id, role=role, tier=tier)
        return Caller(id=user_id, http=self.http, token=token)

    async def metric(self, name: str, **labels: str) -> float:
        """What a metric says now; the name without the house's prefix."""
        answer = await self.http.get("/metrics")
        shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
        start = f"aula_{name}{{{shown}}} " if labels else f"aula_{name} "
        [value] = [
            line.removeprefix(start) for line in answer.text.splitlines() if line.startswith(start)
        ]
        return float(value.split()[0])

    def service(self, *scopes: str, client: str = "monitoring") -> Caller:
        """Another service."""
        token = self.around.mint.service(client, audience="chat", scopes=scopes)
        return Caller(id=client, http=self.http, token=token)

    async def student(self, credits: int = 1000, tier: str = "basic") -> Caller:  # noqa: A002 - the field's word
        """Somebody with credits."""
        caller = self.person(tier=tier)
        await self.give(caller.id, credits)
        return caller

    async def give(self, user_id: str, credits: int) -> None:  # noqa: A002 - the field's word
        """Have accounting give credits."""
        answer = await self.http.post(
            f"{self.around.accounting_url}/api/accounting/credits/allocate",
            json={"userId": user_id, "credits": credits},
            headers={**self._admin(), "Idempotency-Key": new_id("key")},
        )
        assert answer.status_code == 201, answer.text

    async def limit_messages(self, tier: str, limit: int | None) -> None:
        """Have accounting allow each user of the tier so many messages a day; None: any number."""
        quota = {"scope": "tier", "subjectId": tier, "metric": "messages", "period": "day"}
        answer = await self.http.put(
            f"{self.around.accounting_url}/api/accounting/quotas",
            json={"quotas": [{**quota, "limit": limit}]},
            headers=self._admin(),
        )
        assert answer.status_code == 200, answer.text

    async def credits_of(self, user_id: str) -> dict[str, Any]:
        """What accounting says."""
        return await self._ask_accounting("credits", userId=user_id)

    async def reservation(self, stream_id: str) -> dict[str, Any]:
        """Accounting's view of a stream."""
        return await self._ask_accounting(f"streaming/{stream_id}")

    async def _ask_accounting(self, path: str, **params: str) -> dict[str, Any]:
        answer = await self.http.get(
            f"{self.around.accounting_url}/api/accounting/{path}",
            params=params,
            headers=self._admin(),
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def _admin(self) -> dict[str, str]:
        token = self.around.mint.user("usr_admin", role=Role.ADMIN)
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def run_chat(around: Surroundings, **streams: Any) -> AsyncIterator[Chat]:
    """The real application behind its real server, on a port of its own."""
    app = create_app(around.settings(**streams))
    config = uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="on", log_config=None, access_log=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # asyncio sets TCP_NODELAY on sockets that name their protocol only
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve([listener]), name="serve chat")
        await until(lambda: server.started or serving.done())
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                timeout=2 * PATIENCE,
                trust_env=False,
                verify=False,  # noqa: S501 - no TLS here, and reading certificates takes its time
            ) as http:
                yield Chat(app=app, http=http, around=around, server=server)
        finally:
            server.should_exit = True
            await serving
