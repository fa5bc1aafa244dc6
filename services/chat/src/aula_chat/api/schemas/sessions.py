"""Sessions and messages on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from aula_chat.domain.messages import Message
from aula_chat.domain.sessions import Session
from aula_common.web.schemas import Identifier, Page, Pagination, RequestModel, ResponseModel, Text


def _not_blank(text: str) -> str:
    # by Python's idea of white space, which is also that of the prompt
    if not text.strip():
        msg = "must not be blank"
        raise ValueError(msg)
    return text


MessageText = Annotated[Text, Field(min_length=1, max_length=10_000), AfterValidator(_not_blank)]
Title = Annotated[Text, Field(min_length=1, max_length=200)]
ModelId = Annotated[Text, Field(min_length=1, max_length=200)]


class SessionCreation(RequestModel):
    """A session to be made; everything is optional."""

    title: Title | None = None
    model_id: ModelId | None = None
    source: Annotated[Text, Field(max_length=50)] | None = None
    project_id: Identifier | None = None
    task_id: Identifier | None = None

    def metadata(self, user_agent: str | None) -> dict[str, str]:
        """What is kept with the session."""
        given = {
            "source": self.source,
            "projectId": self.project_id,
            "taskId": self.task_id,
            "userAgent": user_agent[:200] if user_agent else None,
        }
        return {key: value for key, value in given.items() if value is not None}


class SessionQuery(Page):
    """Which of one's sessions are asked for: by a part of the title, by project, by task."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    q: Annotated[Text, Field(max_length=200)] | None = None
    project_id: Identifier | None = None
    task_id: Identifier | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """What sessions must have been made with."""
        wanted = {"projectId": self.project_id, "taskId": self.task_id}
        return {key: value for key, value in wanted.items() if value is not None}


class SessionChange(RequestModel):
    """What is to be other of a session."""

    title: Title | None = None
    model_id: ModelId | None = None


class MessageSending(RequestModel):
    """A message to be answered; the model is for this message only."""

    message: MessageText
    model_id: ModelId | None = None


class CreatedSession(ResponseModel):
    """A session that was made."""

    session_id: str
    title: str
    model_id: str
    created_at: datetime


class MessageView(ResponseModel):
    """A message."""

    id: str
    role: str
    content: str
    timestamp: datetime
    status: str
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, message: Message) -> "MessageView":
        """The view of a message."""
        return cls(
            id=message.id,
            role=str(message.role),
            content=message.content,
            timestamp=message.created_at,
            status=str(message.status),
            metadata=message.metadata,
        )


class SessionRecord(ResponseModel):
    """A session without its messages."""

    session_id: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, session: Session) -> "SessionRecord":
        """The record of a session."""
        return cls(
            session_id=session.id,
            title=session.title,
            model_id=session.model_id,
            created_at=session.created_at,
            updated_at=session.updated_at,
            metadata=metadata_of(session),
        )


class SessionSummary(SessionRecord):
    """A session in a list."""

    message_count: int

    @classmethod
    def counted(cls, session: Session, message_count: int) -> "SessionSummary":
        """The summary of a session with so many messages."""
        return cls(**dict(SessionRecord.of(session)), message_count=message_count)


class SessionView(ResponseModel):
    """A whole session; `messages` are its newest 100."""

    session_id: str
    user_id: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any]
    messages: list[MessageView]

    @classmethod
    def of(
        cls, session: Session, messages: list[Message], running_stream: str | None
    ) -> "SessionView":
        """The view of a session with its newest messages."""
        return cls(
            session_id=session.id,
            user_id=session.user_id,
            title=session.title,
            model_id=session.model_id,
            created_at=session.created_at,
            updated_at=session.updated_at,
            metadata={
                **metadata_of(session),
                "streamingSessionId": running_stream,
                "activeStreamingSession": running_stream is not None,
            },
            messages=[MessageView.of(message) for message in messages],
        )


def metadata_of(session: Session) -> dict[str, Any]:
    """A session's metadata with its counts of tokens."""
    return {
        **session.metadata,
        "lastTokensUsed": session.last_tokens_used,
        "totalTokensUsed": session.total_tokens_used,
    }


class SessionList(ResponseModel):
    """A page of sessions."""

    sessions: list[SessionSummary]
    pagination: Pagination


class MessageList(ResponseModel):
    """A page of messages."""

    messages: list[MessageView]
    pagination: Pagination


class Deleted(ResponseModel):
    """That a session is gone."""

    message: str
    session_id: str


class TokenCounts(ResponseModel):
    """What an answer used."""

    input_tokens: int
    output_tokens: int


class AnsweredMessage(ResponseModel):
    """The whole answer to a message; `credits` is null while its settlement is pending."""

    session_id: str
    message: MessageView
    usage: TokenCounts
    credits: int | None


class Stopped(ResponseModel):
    """That a stream was asked to stop."""

    message: str
    session_id: str
    streaming_session_id: str
