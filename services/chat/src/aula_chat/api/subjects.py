"""What auth asks when a person wants their data, or wants it gone. Nobody else may."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Response, status
from fastapi.responses import StreamingResponse

from aula_chat.api.dependencies import Services
from aula_chat.api.schemas.sessions import MessageView, SessionRecord
from aula_chat.api.schemas.subjects import ErasureReceipt, SubjectExport
from aula_chat.services.subjects import Subjects
from aula_common.security.principal import Principal
from aula_common.web.access import service
from aula_common.web.schemas import Identifier

router = APIRouter(prefix="/internal/subjects", tags=["subjects"])
_ERASING: dict[int | str, dict[str, Any]] = {
    status.HTTP_202_ACCEPTED: {
        "model": ErasureReceipt,
        "description": "It goes on by itself; ask again for the receipt.",
    }
}


@router.get(
    "/{user_id}",
    response_class=StreamingResponse,
    responses={status.HTTP_200_OK: {"model": SubjectExport}},
)
async def export_subject(
    user_id: Identifier,
    _caller: Annotated[Principal, service("subjects:read")],
    services: Services,
) -> StreamingResponse:
    """All that is kept of a person, in one document; one that broke off does not parse."""
    document = _document(services.subjects, user_id)
    beginning = await anext(document)  # a database that is away is a 503, and no broken document
    return StreamingResponse(_whole(beginning, document), media_type="application/json")


@router.delete("/{user_id}", responses=_ERASING)
async def erase_subject(
    user_id: Identifier,
    _caller: Annotated[Principal, service("subjects:erase")],
    services: Services,
    response: Response,
) -> ErasureReceipt:
    """Erase a person: stop and settle what runs, remove every session, refuse new ones."""
    erasure = await services.subjects.erase(user_id)
    if erasure.erased_at is None:
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Retry-After"] = "5"
    return ErasureReceipt.of(erasure)


async def _document(subjects: Subjects, user_id: str) -> AsyncGenerator[bytes, None]:
    """A SubjectExport in pieces: a person may have more than fits into memory."""
    before = b'{"userId":"%s","sessions":[' % user_id.encode()
    async with aclosing(subjects.sessions_of(user_id)) as sessions:
        async for session in sessions:
            record = SessionRecord.of(session).model_dump_json(by_alias=True).encode()
            yield before + record[:-1] + b',"messages":['
            before = b""
            async with aclosing(subjects.messages_of(session)) as messages:
                async for message in messages:
                    yield before + MessageView.of(message).model_dump_json(by_alias=True).encode()
                    before = b","
            before = b"]},"
    yield before.removesuffix(b",") + b"]}"


async def _whole(
    beginning: bytes, document: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    yield beginning
    async with aclosing(document):
        async for piece in document:
            yield piece
