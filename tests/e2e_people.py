"""People for end-to-end tests: each talks to the platform as a client would, over the gateway."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from aula_devstack.platform import Platform
from aula_devstack.sse_client import SseEvent, sse_events

PASSWORD = "correct horse battery staple"
TIMEOUT = httpx.Timeout(20.0, read=60.0)
TERMINAL = {"complete", "error"}


@dataclass
class Shown:
    """What one reader was shown of a stream."""

    events: list[SseEvent] = field(default_factory=list)

    @property
    def numbered(self) -> list[SseEvent]:
        """The events that count."""
        return [event for event in self.events if event.event in {*TERMINAL, *_NUMBERED}]

    @property
    def text(self) -> str:
        """The text in the order in which it came."""
        return "".join(e.json()["text"] for e in self.events if e.event == "chunk")

    @property
    def numbers(self) -> list[int]:
        """The events' numbers."""
        return [int(event.id.rpartition(".")[2]) for event in self.numbered]

    @property
    def last_id(self) -> str:
        """The id to resume from."""
        return self.events[-1].id

    @property
    def terminal(self) -> dict[str, Any]:
        """The terminal event's data; there must be exactly one, and it must be the last."""
        ends = [event for event in self.numbered if event.event in TERMINAL]
        assert len(ends) == 1, f"not one terminal event: {[e.event for e in self.numbered[-3:]]}"
        assert self.numbered[-1] is ends[0]
        return {"event": ends[0].event, **ends[0].json()}


_NUMBERED = {"start", "model", "chunk"}


async def collect(stream: AsyncGenerator[SseEvent, None]) -> Shown:
    """All events of a stream to its end."""
    async with aclosing(stream) as events:
        return Shown([event async for event in events])


class Person:
    """Someone signed in."""

    def __init__(self, client: httpx.AsyncClient, *, user_id: str, name: str) -> None:
        self.client = client
        self.id = user_id
        self.name = name

    async def call(self, method: str, path: str, expected: int, **kwargs: Any) -> Any:
        """The JSON of an answer that must have this status."""
        answer = await self.client.request(method, path, **kwargs)
        assert answer.status_code == expected, (
            f"{method} {path}: {answer.status_code} {answer.text}"
        )
        return answer.json() if answer.content else None

    async def new_session(self) -> str:
        """A fresh session's id."""
        made = await self.call("POST", "/api/chat/sessions", 201, json={})
        return str(made["sessionId"])

    async def messages(self, session_id: str) -> list[dict[str, Any]]:
        """The stored messages."""
        listed = await self.call(
            "GET", f"/api/chat/sessions/{session_id}/messages", 200, params={"limit": 100}
        )
        return list(listed["messages"])

    async def credits(self) -> dict[str, Any]:
        """The balance, with what is held."""
        balance: dict[str, Any] = await self.call("GET", "/api/accounting/credits", 200)
        return balance

    async def ask(self, session_id: str, message: str, **headers: str) -> Shown:
        """Everything that is shown of the answer to a message."""
        return await collect(self.asking(session_id, message, **headers))

    async def asking(
        self, session_id: str, message: str, **headers: str
    ) -> AsyncGenerator[SseEvent, None]:
        """The events of the answer to a message, as they come."""
        path = f"/api/chat/sessions/{session_id}/stream"
        async for event in self.events("POST", path, json={"message": message}, headers=headers):
            yield event

    async def events(
        self, method: str, path: str, *, base_url: str | None = None, **kwargs: Any
    ) -> AsyncGenerator[SseEvent, None]:
        """The events of an answer; by way of the gateway unless another address is given."""
        url = f"{base_url}{path}" if base_url else path
        async with self.client.stream(method, url, **kwargs) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
            assert answer.status_code == httpx.codes.OK, f"{answer.status_code} {answer.text}"
            async for event in sse_events(answer):
                yield event


async def sign_in(platform: Platform, username: str, password: str) -> Person:
    """The person of that name."""
    client = httpx.AsyncClient(base_url=platform.url, timeout=TIMEOUT)
    answer = await client.post("/api/auth/login", json={"username": username, "password": password})
    assert answer.status_code == httpx.codes.OK, answer.text
    body = answer.json()
    client.headers["Authorization"] = f"Bearer {body['accessToken']}"
    return Person(client, user_id=body["user"]["id"], name=username)


class People:
    """Makes people for one test."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._made: list[Person] = []
        self._admin: Person | None = None

    async def admin(self) -> Person:
        """The administrator, signed in once for the test."""
        if self._admin is None:
            known = self._platform.people.admin
            self._admin = await sign_in(self._platform, known.username, known.password)
            self._made.append(self._admin)
        return self._admin

    async def supervisor(self) -> Person:
        """A new supervisor without students."""
        made, admin = await self.student(granted=0), await self.admin()
        await admin.call("PATCH", f"/api/auth/users/{made.id}", 200, json={"role": "supervisor"})
        again = await sign_in(self._platform, made.name, PASSWORD)
        self._made.append(again)
        return again

    async def student(self, *, granted: int = 100) -> Person:
        """A new student with so many credits."""
        name = f"s{secrets.token_hex(8)}"
        async with httpx.AsyncClient(base_url=self._platform.url, timeout=TIMEOUT) as client:
            answer = await client.post(
                "/api/auth/register",
                json={"username": name, "email": f"{name}@aula.example", "password": PASSWORD},
            )
            assert answer.status_code == httpx.codes.CREATED, answer.text
        person = await sign_in(self._platform, name, PASSWORD)
        self._made.append(person)
        if granted:
            await self.allocate(person, granted)
        return person

    async def allocate(self, person: Person, amount: int) -> None:
        """Give credits."""
        admin = await self.admin()
        await admin.call(
            "POST",
            "/api/accounting/credits/allocate",
            201,
            json={"userId": person.id, "credits": amount},
            headers={"Idempotency-Key": secrets.token_hex(8)},
        )

    async def relate(self, supervisor: Person, student: Person) -> str:
        """Let the supervisor watch the student; the relationship's id."""
        admin = await self.admin()
        made = await admin.call(
            "POST",
            "/api/monitoring/relationships",
            201,
            json={"supervisorId": supervisor.id, "studentId": student.id, "mode": "live"},
        )
        return str(made["id"])

    async def close(self) -> None:
        """Hang up."""
        for person in self._made:
            await person.client.aclose()


async def eventually(
    check: Callable[[], Awaitable[Any]], *, within: float = 30, every: float = 0.1
) -> Any:
    """What the check answers once that is true; AssertionError if it never is."""
    ends = asyncio.get_running_loop().time() + within
    while not (answer := await check()):
        assert asyncio.get_running_loop().time() < ends, f"{check.__qualname__} never came true"
        await asyncio.sleep(every)
    return answer


@asynccontextmanager
async def people_of(platform: Platform) -> AsyncIterator[People]:
    """People for the time of a test."""
    people = People(platform)
    try:
        yield people
    finally:
        await people.close()
