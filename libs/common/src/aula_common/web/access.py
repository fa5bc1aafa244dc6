"""Who may call an endpoint, as dependencies that return the principal."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from aula_common.errors import ForbiddenError, MalformedRequestError, UnauthorizedError
from aula_common.ids import is_id
from aula_common.security.principal import Principal, Role
from aula_common.security.verifier import TokenVerifier

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="An access token of auth.")


async def authenticate(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """The caller, whoever it is. UnauthorizedError without a valid token."""
    return await verify_caller(
        request.app.state.verifier,
        credentials.credentials if credentials is not None else "",
        acting_for=request.headers.get("X-On-Behalf-Of"),
    )


async def verify_caller(
    verifier: TokenVerifier, token: str, *, acting_for: str | None
) -> Principal:
    """The caller with that token, acting for that person if it is a service.

    UnauthorizedError; MalformedRequestError if the person is no identifier.
    """
    if not token:
        raise UnauthorizedError
    principal = await verifier.verify(token)
    if acting_for is None or not principal.is_service:
        return principal
    if not is_id(acting_for):
        raise MalformedRequestError("X-On-Behalf-Of is not an identifier.")
    return replace(principal, acting_for=acting_for)


def require_scope(principal: Principal, scope: str) -> Principal:
    """The principal, if it is a service whose token has the scope; ForbiddenError."""
    if not principal.is_service or scope not in principal.scopes:
        raise ForbiddenError
    return principal


def require_person(principal: Principal, *roles: Role) -> Principal:
    """The principal, if it is a person, of one of the roles if any is given; ForbiddenError."""
    if principal.is_service or (roles and principal.role not in roles):
        raise ForbiddenError
    return principal


def user(*roles: Role) -> Any:
    """A dependency: a signed-in person, of one of the roles if any is given; others get 403."""

    async def require(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        return require_person(principal, *roles)

    return Depends(require)


def service(scope: str) -> Any:
    """A dependency: a service whose token has the scope; everybody else gets 403."""

    async def require(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        return require_scope(principal, scope)

    return Depends(require)


def user_or_service(*roles: Role, scope: str) -> Any:
    """A dependency: a person (of the roles, if given) or a service with the scope."""

    async def require(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if principal.is_service:
            allowed = scope in principal.scopes
        else:
            allowed = not roles or principal.role in roles
        if not allowed:
            raise ForbiddenError
        return principal

    return Depends(require)
