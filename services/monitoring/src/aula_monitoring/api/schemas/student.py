"""Students on the wire."""

from datetime import datetime

from pydantic import Field

from aula_common.web.schemas import Pagination, ResponseModel
from aula_monitoring.domain.relationship import Mode
from aula_monitoring.domain.student import FoundUser, Student


class RunningStreamBody(ResponseModel):
    """An answer being generated; `sessionId` is the conversation that can be observed."""

    streaming_session_id: str
    session_id: str | None
    model_id: str | None
    started_at: datetime
    tokens_generated: int


class RunningStreamList(ResponseModel):
    """What runs now."""

    streams: list[RunningStreamBody]


class StudentBody(ResponseModel):
    """A student of the supervisor's.

    `username` and `name` are null if the person is no longer known, `streams` is null where the
    mode is off.
    """

    student_id: str
    username: str | None
    name: str | None
    relationship_id: str
    mode: Mode
    valid_from: datetime = Field(alias="from")
    valid_until: datetime | None = Field(alias="until")
    streams: list[RunningStreamBody] | None

    @classmethod
    def of(cls, student: Student) -> "StudentBody":
        """The student with what runs."""
        relationship = student.relationship
        streams = student.streams
        return cls(
            student_id=relationship.student_id,
            username=student.person.username if student.person else None,
            name=student.person.name if student.person else None,
            relationship_id=relationship.id,
            mode=relationship.mode,
            valid_from=relationship.valid_from,
            valid_until=relationship.valid_until,
            streams=None
            if streams is None
            else [RunningStreamBody.model_validate(stream) for stream in streams],
        )


class StudentList(ResponseModel):
    """A page of students."""

    students: list[StudentBody]
    pagination: Pagination


class FoundUserBody(ResponseModel):
    """Somebody whose conversations may be looked at."""

    user_id: str
    username: str
    name: str
    session_count: int

    @classmethod
    def of(cls, found: FoundUser) -> "FoundUserBody":
        """The person with the number of their conversations."""
        return cls(
            user_id=found.person.id,
            username=found.person.username,
            name=found.person.name,
            session_count=found.session_count,
        )


class FoundUserList(ResponseModel):
    """A page of people found."""

    users: list[FoundUserBody]
    pagination: Pagination
