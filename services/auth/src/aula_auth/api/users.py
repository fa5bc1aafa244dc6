"""People, for administrators and services."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from aula_auth.api.dependencies import Services
from aula_auth.api.schemas.user import (
    ChangeAccessRequest,
    CreateUserRequest,
    HumanRole,
    UserBody,
    UserList,
)
from aula_auth.domain.family import EndReason
from aula_auth.domain.user import Tier, UserChanges, UserSearch, UserStatus
from aula_auth.services.registration import NewUser
from aula_common.security.principal import Principal, Role
from aula_common.web.access import user, user_or_service
from aula_common.web.schemas import Identifier, Page, Pagination, Text

router = APIRouter(prefix="/api/auth/users", tags=["users"])

Admin = Annotated[Principal, user(Role.ADMIN)]
Reader = Annotated[Principal, user_or_service(Role.ADMIN, scope="users:read")]
Part = Annotated[Text | None, Query(min_length=1, max_length=100)]


def read_search(
    *,
    q: Part = None,
    name: Part = None,
    email: Part = None,
    role: Annotated[HumanRole | None, Query()] = None,
    tier: Annotated[Tier | None, Query()] = None,
    status: Annotated[UserStatus | None, Query()] = None,
    id: Annotated[list[Identifier] | None, Query(max_length=100)] = None,  # noqa: A002 - its name on the wire
) -> UserSearch:
    """The search of a query: `q` in any name or email; `id` as often as wanted."""
    return UserSearch(
        text=q, name=name, email=email, role=role, tier=tier, status=status, ids=tuple(id or ())
    )


@router.get("")
async def search_users(
    services: Services,
    _principal: Reader,
    search: Annotated[UserSearch, Depends(read_search)],
    page: Annotated[Page, Depends()],
) -> UserList:
    """The people that match, by username."""
    found = await services.users.search(search, offset=page.offset, limit=page.limit)
    return UserList(
        users=[UserBody.model_validate(item) for item in found.items],
        pagination=Pagination.of(page, found.total),
    )


@router.post("", status_code=201)
async def create_user(body: CreateUserRequest, services: Services, principal: Admin) -> UserBody:
    """Create a person of any role."""
    new = NewUser(
        username=body.username,
        email=body.email,
        password=body.password.get_secret_value(),
        display_name=body.display_name,
        role=body.role,
        tier=body.tier,
    )
    return UserBody.model_validate(await services.registration.create(new, actor_id=principal.id))


@router.get("/{user_id}")
async def get_user(user_id: str, services: Services, _principal: Reader) -> UserBody:
    """One person."""
    return UserBody.model_validate(await services.users.get(user_id))


@router.patch("/{user_id}")
async def change_access(
    user_id: str, body: ChangeAccessRequest, services: Services, principal: Admin
) -> UserBody:
    """Change role, tier or status; the person's access tokens so far are void."""
    changes = UserChanges(role=body.role, tier=body.tier, status=body.status)
    return UserBody.model_validate(
        await services.users.change_access(user_id, changes, actor_id=principal.id)
    )


@router.post("/{user_id}/revoke", status_code=204)
async def revoke_user(user_id: str, services: Services, principal: Admin) -> None:
    """End every session of the person; they may sign in again."""
    await services.sessions.end_all(user_id, actor_id=principal.id, reason=EndReason.REVOKED)
