"""What auth is told of a person."""

from datetime import datetime
from typing import Literal

from aula_chat.api.schemas.sessions import MessageView, SessionRecord
from aula_chat.domain.erasures import Erasure
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


class WholeSession(SessionRecord):
    """A session with all its messages, oldest first."""

    messages: list[MessageView]


class SubjectExport(ResponseModel):
    """All that chat keeps of a person."""

    user_id: str
    sessions: list[WholeSession]
