"""Who takes part in the demo, each with a sign-in and the requests of the public API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aula_devstack.errors import DevstackError
from aula_devstack.people import DemoPerson
from aula_devstack.sse_client import SseEvent, sse_events

TIMEOUT = httpx.Timeout(15.0, read=60.0)


class RequestFailedError(DevstackError):
    """The platform refused what it should not have refused."""

    def __init__(self, answer: httpx.Response) -> None:
        request = f"{answer.request.method} {answer.request.url.path}"
        super().__init__(f"{request} answered {answer.status_code}: {answer.text[:500]}")


class Actor:
    """Someone signed in at the gateway."""

    def __init__(self, *, client: httpx.AsyncClient, user_id: str) -> None:
        self._client = client
        self.user_id = user_id

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        """The JSON body of `GET path`; RequestFailedError unless it succeeds."""
        return _body(await self._client.get(path, params=params))

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON body of `POST path`; RequestFailedError unless it succeeds."""
        return _body(await self._client.post(path, json=body))

    async def events(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[SseEvent]:
        """The events of a stream until the server ends it; RequestFailedError if it is refused."""
        async with self._client.stream(
            method, path, json=body, headers={"Accept": "text/event-stream"}
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                raise RequestFailedError(answer)
            async for event in sse_events(answer):
                yield event


@asynccontextmanager
async def signed_in(person: DemoPerson, *, url: str) -> AsyncIterator[Actor]:
    """An actor with a fresh access token."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as client:
        tokens = _body(
            await client.post(
                "/api/auth/login", json={"username": person.username, "password": person.password}
            )
        )
        client.headers["Authorization"] = f"Bearer {tokens['accessToken']}"
        yield Actor(client=client, user_id=tokens["user"]["id"])


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise RequestFailedError(answer)
    return dict(answer.json())
