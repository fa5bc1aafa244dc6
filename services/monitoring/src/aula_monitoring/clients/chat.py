"""chat's conversations, on the paths that it answers to monitoring alone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from aula_common.errors import MalformedRequestError, NotFoundError, UnavailableError
from aula_common.http import ServiceClient
from aula_monitoring.domain.conversation import Document
from aula_monitoring.domain.observation import Observation

_OK = 200
_MALFORMED = 400
_NOT_FOUND = 404
_EVENT_STREAM = "text/event-stream"


class ChatConversations:
    """Conversations by chat's API; needs `conversations:read` and `observations:write`."""

    def __init__(self, client: ServiceClient, *, idle_seconds: float) -> None:
        self._client = client
        self._idle_seconds = idle_seconds

    async def find_owner(self, session_id: str) -> str | None:
        """Whose conversation it is. UnavailableError if chat does not answer."""
        answer = await self._client.request(
            "GET", f"/internal/sessions/{session_id}/owner", retry=True
        )
        if answer.status == _NOT_FOUND:
            return None
        if not answer.ok:
            raise UnavailableError("chat")
        return str(answer.body["userId"])

    async def list_sessions(
        self, user_id: str, *, observer_id: str, page: int, limit: int
    ) -> Document:
        """A page of the person's conversations. NotFoundError if chat does not know them."""
        return await self._read(
            f"/api/chat/users/{user_id}/sessions",
            observer_id=observer_id,
            params={"page": str(page), "limit": str(limit)},
        )

    async def get_session(self, user_id: str, session_id: str, *, observer_id: str) -> Document:
        """One conversation with its messages. NotFoundError if it is not the person's."""
        return await self._read(
            f"/api/chat/users/{user_id}/sessions/{session_id}", observer_id=observer_id
        )

    @asynccontextmanager
    async def observe(
        self, observation: Observation, *, last_event_id: str | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The conversation's events as bytes, until chat ends them.

        Entering raises NotFoundError if there is nothing to show, MalformedRequestError if chat
        doesn't understand the position; a broken or silent connection raises UnavailableError.
        """
        params = {
            "follow": str(observation.follow).lower(),
            "observationId": observation.id,
            **({"view": "summary"} if observation.summary else {}),
        }
        async with self._client.stream(
            f"/api/chat/sessions/{observation.session_id}/observe",
            params=params,
            headers={"Last-Event-ID": last_event_id} if last_event_id else None,
            on_behalf_of=observation.observer.id,
            idle_deadline=self._idle_seconds,
        ) as response:
            if response.status == _NOT_FOUND:
                raise NotFoundError
            if response.status == _MALFORMED:
                raise MalformedRequestError("Last-Event-ID is not one of this conversation's.")
            if response.status != _OK or response.content_type != _EVENT_STREAM:
                raise UnavailableError("chat")
            yield _chunks(response)

    async def renew(self, observation_ids: Sequence[str]) -> None:
        """Tell chat that these go on. UnavailableError if it does not take it."""
        answer = await self._client.request(
            "POST", "/internal/observations/renew", json={"observationIds": list(observation_ids)}
        )
        if not answer.ok:
            raise UnavailableError("chat")

    async def _read(
        self, path: str, *, observer_id: str, params: Mapping[str, str] | None = None
    ) -> Document:
        answer = await self._client.request(
            "GET", path, params=params, on_behalf_of=observer_id, retry=True
        )
        if answer.status == _NOT_FOUND:
            raise NotFoundError
        if not answer.ok or not isinstance(answer.body, dict):
            raise UnavailableError("chat")
        document: dict[str, Any] = answer.body
        return document


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise UnavailableError("chat") from error
