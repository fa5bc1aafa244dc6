"""accounting's running streams."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient
from aula_monitoring.domain.student import RunningStream


class AccountingStreams:
    """Running streams by accounting's API; needs the scope `streaming:read`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def list_running(self, user_id: str, *, observer_id: str) -> Sequence[RunningStream]:
        """The person's streams, oldest first. UnavailableError if accounting does not answer."""
        answer = await self._client.request(
            "GET",
            f"/api/accounting/streaming/active/{user_id}",
            params={"limit": "100"},  # the limit of running streams is far below
            on_behalf_of=observer_id,
            retry=True,
        )
        if not answer.ok:
            raise UnavailableError("accounting")
        streams = [_stream(session) for session in answer.body["sessions"]]
        return sorted(streams, key=lambda stream: stream.started_at)


def _stream(session: Mapping[str, Any]) -> RunningStream:
    return RunningStream(
        streaming_session_id=session["sessionId"],
        session_id=session.get("chatSessionId"),
        model_id=session["modelId"],
        started_at=datetime.fromisoformat(session["startedAt"]),
        tokens_generated=session["tokensGenerated"],
    )
