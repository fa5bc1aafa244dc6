"""What endpoints ask for: services, callers, whose things they may see.

Coroutines, though none waits: FastAPI runs plain functions in threads, which cost more than these.
"""

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from aula_accounting.factory import Context
from aula_common.errors import ForbiddenError, InvalidFieldError, NotFoundError
from aula_common.ids import is_id
from aula_common.security.principal import Principal, Role
from aula_common.web.access import service, user, user_or_service
from aula_common.web.schemas import ID_SCHEMA, Identifier, Page

WRITE_SCOPE = "streaming:write"
_KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,255}")


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _path_id(identifier: str) -> str:
    if not is_id(identifier):
        raise NotFoundError
    return identifier


async def _session_id(
    session_id: Annotated[str, Path(alias="sessionId", json_schema_extra=ID_SCHEMA)],
) -> str:
    return _path_id(session_id)


async def _user_id(
    user_id: Annotated[str, Path(alias="userId", json_schema_extra=ID_SCHEMA)],
) -> str:
    return _path_id(user_id)


async def _allocation_id(
    allocation_id: Annotated[str, Path(alias="allocationId", json_schema_extra=ID_SCHEMA)],
) -> str:
    return _path_id(allocation_id)


async def _idempotency_key(
    key: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            description="1 to 255 visible ASCII characters.",
            json_schema_extra={"pattern": f"^{_KEY_PATTERN.pattern}$"},
        ),
    ],
) -> str:
    if not _KEY_PATTERN.fullmatch(key):
        raise InvalidFieldError("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return key


ContextNeeded = Annotated[Context, Depends(_context)]
PageWanted = Annotated[Page, Depends()]
SessionIdInPath = Annotated[str, Depends(_session_id)]
UserIdInPath = Annotated[str, Depends(_user_id)]
AllocationIdInPath = Annotated[str, Depends(_allocation_id)]
KeyNeeded = Annotated[str, Depends(_idempotency_key)]
UserIdWanted = Annotated[Identifier | None, Query(alias="userId")]

Admin = Annotated[Principal, user(Role.ADMIN)]
Person = Annotated[Principal, user()]
StreamingService = Annotated[Principal, service(WRITE_SCOPE)]
CreditReader = Annotated[Principal, user_or_service(scope="credits:read")]
StreamingReader = Annotated[Principal, user_or_service(scope="streaming:read")]
RateReader = Annotated[Principal, user_or_service(scope="rates:read")]


def sees_all(principal: Principal) -> bool:
    """Whether the caller may see everybody's: an admin, or a service with the scope."""
    return principal.is_service or principal.role is Role.ADMIN


def one_user(principal: Principal, wanted: str | None) -> str:
    """Whose balance is meant: the caller's own, or for admins and services the one named.

    ForbiddenError for somebody else's; InvalidFieldError if a service names nobody.
    """
    if principal.is_service:
        named = wanted or principal.acting_for
        if named is None:
            raise InvalidFieldError("userId", "is required of a service")
        return named
    if wanted not in (None, principal.id) and not sees_all(principal):
        raise ForbiddenError
    return wanted or principal.id


def whose(principal: Principal, wanted: str | None) -> str | None:
    """Whose entries a list shows: None, everybody's, if an admin or a service names nobody.

    ForbiddenError for somebody else's.
    """
    if sees_all(principal):
        return wanted or principal.acting_for
    return one_user(principal, wanted)
