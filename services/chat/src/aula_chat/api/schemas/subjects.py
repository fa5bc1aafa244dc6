"""What auth is told of a person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from aula_chat.api.schemas.sessions import MessageView, metadata_of
from aula_chat.domain.erasures import Erasure
from aula_chat.domain.sessions import Session
from aula_common.web.schemas import ResponseModel


class ErasureReceipt(ResponseModel):
    """How far an erasure is; `erasedAt` is when nothing was left, and null until then."""

    user_id: str
    status: Literal["erasing", "erased"]
    requested_at: datetime
    erased_at: datetime | None

    @classmethod
    def of(cls, erasure: Erasure) -> "ErasureReceipt":
        """The receipt of an erasure."""
        return cls(
            user_id=erasure.user_id,
            status="erasing" if erasure.erased_at is None else "erased",
            requested_at=erasure.asked_at,
            erased_at=erasure.erased_at,
        )


class SessionRecord(ResponseModel):
    """A session as it is handed out to the person whose it is."""

    session_id: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, session: Session) -> "SessionRecord":
        """The record of a session, without its messages."""
        return cls(
            session_id=session.id,
            title=session.title,
            model_id=session.model_id,
            created_at=session.created_at,
            updated_at=session.updated_at,
            metadata=metadata_of(session),
        )


class WholeSession(SessionRecord):
    """A session with all its messages, oldest first."""

    messages: list[MessageView]


class SubjectExport(ResponseModel):
    """All that chat keeps of a person."""

    user_id: str
    sessions: list[WholeSession]
