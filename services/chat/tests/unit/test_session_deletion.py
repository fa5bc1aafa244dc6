"""What deleting a session leaves, whatever comes amid it."""

from typing import Any

import pytest
from memory_stream_log import MemoryStreamLog
from stream_builders import MOMENT, chunk

from aula_chat.domain.models import DEFAULT_MODEL
from aula_chat.domain.sessions import Session
from aula_chat.services.sessions import Sessions
from aula_common.security.principal import Principal, Role
from aula_common.testing import ManualClock

OWNER = Principal(
    id="usr_one", role=Role.ENDUSER, token_id="tok_one", issued_at=MOMENT, expires_at=MOMENT
)
STREAM = "str_one"


class SessionStore:
    """One session."""

    def __init__(self) -> None:
        self.session: Session | None = Session(
            id="ses_one",
            user_id=OWNER.id,
            title="Tides",
            model_id=DEFAULT_MODEL,
            created_at=MOMENT,
            updated_at=MOMENT,
            metadata={},
        )

    async def find_owned(self, *_: str) -> Session | None:
        return self.session

    async def delete(self, _: str) -> None:
        self.session = None


class MessageStore:
    """Its messages."""

    def __init__(self) -> None:
        self.texts = ["a question", "an answer"]

    async def delete_of_sessions(self, _: str) -> None:
        self.texts.clear()


class StreamStore:
    """Its streams; one was lost by a process that stores a message amid the deletion."""

    def __init__(self, messages: MessageStore) -> None:
        self.messages = messages
        self.claims: list[str] = []
        self.settled = True

    async def find_live(self, _: str) -> None:
        return None

    async def claim(self, claim: Any, **_: Any) -> None:
        self.claims.append(claim.id)

    async def discard(self, claim: Any) -> None:
        self.claims.remove(claim.id)

    async def ended_of_session(self, _: str) -> list[str]:
        self.messages.texts.append("stored late")
        return [STREAM]

    async def delete_settled(self, stream_ids: list[str]) -> None:
        assert stream_ids == [STREAM]
        self.settled = False


@pytest.mark.parametrize("away", [False, True], ids=["log there", "log away"])
async def test_what_was_stored_amid_the_deletion_is_deleted_too(*, away: bool) -> None:
    sessions, messages, log = SessionStore(), MessageStore(), MemoryStreamLog()
    streams = StreamStore(messages)
    log.entries[STREAM], log.away = [(1, chunk(STREAM, 1, "text"))], away
    service = Sessions(
        sessions=sessions,  # type: ignore[arg-type]  # what it needs of a repository
        messages=messages,  # type: ignore[arg-type]  # likewise
        streams=streams,  # type: ignore[arg-type]  # likewise
        erasures=None,  # type: ignore[arg-type]  # not asked by a deletion
        log=log,
        clock=ManualClock(),
        owner="own_here",
        lease_seconds=30,
    )
    await service.delete(OWNER, "ses_one")
    assert (sessions.session, messages.texts, streams.claims) == (None, [], [])
    assert not streams.settled
    assert (log.entries == {}) is not away  # its time ends a log that is away
