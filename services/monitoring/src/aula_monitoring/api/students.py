"""A supervisor's students: what runs, what was said."""

from typing import Annotated

from fastapi import APIRouter, Depends

from aula_common.security.principal import Principal, Role
from aula_common.web.access import user
from aula_common.web.schemas import Identifier, Page, Pagination
from aula_monitoring.api.dependencies import Services
from aula_monitoring.api.schemas.session import SessionList, SessionWithMessagesBody
from aula_monitoring.api.schemas.student import (
    RunningStreamBody,
    RunningStreamList,
    StudentBody,
    StudentList,
)

router = APIRouter(prefix="/api/monitoring/students", tags=["students"])

Supervisor = Annotated[Principal, user(Role.SUPERVISOR)]
Observer = Annotated[Principal, user(Role.SUPERVISOR, Role.ADMIN)]


@router.get("")
async def list_students(
    services: Services, supervisor: Supervisor, page: Annotated[Page, Depends()]
) -> StudentList:
    """My students, with what runs there now."""
    found = await services.students.list_students(supervisor, offset=page.offset, limit=page.limit)
    return StudentList(
        students=[StudentBody.of(student) for student in found.items],
        pagination=Pagination.of(page, found.total),
    )


@router.get("/{student_id}/streams")
async def list_streams(
    student_id: Identifier, services: Services, observer: Observer
) -> RunningStreamList:
    """The student's running streams, oldest first."""
    streams = await services.students.list_streams(observer, student_id)
    return RunningStreamList(
        streams=[RunningStreamBody.model_validate(stream) for stream in streams]
    )


@router.get("/{student_id}/sessions")
async def list_sessions(
    student_id: Identifier, services: Services, observer: Observer, page: Annotated[Page, Depends()]
) -> SessionList:
    """The student's conversations, latest first. The look is audited."""
    found = await services.sessions.list_sessions(
        observer, student_id, page=page.page, limit=page.limit
    )
    return SessionList.model_validate(found)


@router.get("/{student_id}/sessions/{session_id}")
async def get_session(
    student_id: Identifier, session_id: Identifier, services: Services, observer: Observer
) -> SessionWithMessagesBody:
    """One conversation with its messages. The look is audited."""
    found = await services.sessions.get_session(observer, student_id, session_id)
    return SessionWithMessagesBody.model_validate(found)
