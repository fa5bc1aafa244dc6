"""What can go wrong in a conversation."""

from collections.abc import Mapping
from typing import Any

from aula_common.errors import (
    AulaError,
    ConflictError,
    InvalidFieldError,
    MalformedRequestError,
    UnavailableError,
)


class SessionStreamsError(ConflictError):
    """The session's answer is still being written."""

    code = "session_streams"

    def __init__(self, stream_id: str | None = None) -> None:
        super().__init__(
            "This session is answering a message; stop it or wait for its end.",
            extra={"streamingSessionId": stream_id} if stream_id else None,
        )


class NothingStreamsError(ConflictError):
    """There is no running answer to stop."""

    code = "nothing_streams"

    def __init__(self) -> None:
        super().__init__("This session is not answering a message.")


class ModelUnknownError(InvalidFieldError):
    """No such model, or none that the caller's tier includes."""

    def __init__(self) -> None:
        super().__init__("modelId", "is not a model that you may use")


class QuestionTooLongError(InvalidFieldError):
    """The model can't read the message, even with nothing before it. `limit`: UTF-8 bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__("message", f"is longer than the {limit} bytes that this model can read")


class EventIdInvalidError(MalformedRequestError):
    """`Last-Event-ID` names no event of this session."""

    code = "event_id_invalid"

    def __init__(self) -> None:
        super().__init__("Last-Event-ID names no event of this session.")


class ReservationRefusedError(AulaError):
    """Accounting refuses the credits; its own answer is passed on to the caller.

    Status 402 (not enough, or held) or 429 (too many streams, quota).
    """

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        own = {"type", "title", "status", "detail", "code", "message", "requestId"}
        super().__init__(
            str(problem.get("detail", "")),
            extra={key: value for key, value in problem.items() if key not in own},
            headers=headers,
        )
        self.code = str(problem.get("code", "reservation_refused"))  # type: ignore[misc]  # accounting's own
        self.status = status  # type: ignore[misc]  # accounting's own
        self.title = str(problem.get("title", "Refused"))  # type: ignore[misc]  # accounting's own


class StreamInterruptedError(UnavailableError):
    """The answer ended before any text came; `code` is the stream's.

    The key under which it was asked for, if any (`keyed`), only repeats this.
    """

    code = "stream_interrupted"

    def __init__(self, code: str, *, keyed: bool) -> None:
        super().__init__("the model")
        self.extra["streamCode"] = code
        if keyed:
            self.detail += " Ask again under another Idempotency-Key."


class FenceLostError(Exception):
    """Another process has taken the stream; this one must neither append, store nor settle."""


class DatabaseTooOldError(AulaError):
    """The database server lacks what this program needs of it."""

    code = "database_too_old"
    status = 503
    title = "Database too old"

    def __init__(self) -> None:
        super().__init__("Chat needs MongoDB 8.0 or later.")
