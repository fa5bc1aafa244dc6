"""The caller's own record and signed-in devices."""

from typing import Annotated

from fastapi import APIRouter, Depends

from aula_auth.api.dependencies import Services
from aula_auth.api.schemas.session import DeviceBody, DeviceList
from aula_auth.api.schemas.user import ChangePasswordRequest, ChangeProfileRequest, UserBody
from aula_auth.domain.family import Family
from aula_auth.domain.user import UserChanges
from aula_common.security.principal import Principal
from aula_common.web.access import user
from aula_common.web.schemas import Page, Pagination

router = APIRouter(prefix="/api/auth/me", tags=["me"])

Caller = Annotated[Principal, user()]


@router.get("")
async def get_me(services: Services, principal: Caller) -> UserBody:
    """The caller."""
    return UserBody.model_validate(await services.profile.get(principal))


@router.patch("")
async def change_me(body: ChangeProfileRequest, services: Services, principal: Caller) -> UserBody:
    """Change the own names; username and email take `currentPassword`."""
    secret = body.current_password
    changed = await services.profile.change(
        principal,
        UserChanges(username=body.username, email=body.email, display_name=body.display_name),
        current_password=secret.get_secret_value() if secret else None,
    )
    return UserBody.model_validate(changed)


@router.post("/password", status_code=204)
async def change_password(
    body: ChangePasswordRequest, services: Services, principal: Caller
) -> None:
    """Set a new password; the caller's other sessions end."""
    await services.profile.change_password(
        principal,
        current_password=body.current_password.get_secret_value(),
        new_password=body.new_password.get_secret_value(),
    )


@router.get("/sessions")
async def list_sessions(
    services: Services, principal: Caller, page: Annotated[Page, Depends()]
) -> DeviceList:
    """The caller's signed-in devices, latest used first."""
    found = await services.sessions.list_live(principal.id, offset=page.offset, limit=page.limit)
    return DeviceList(
        sessions=[_device(family, current=principal.session_id) for family in found.items],
        pagination=Pagination.of(page, found.total),
    )


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: str, services: Services, principal: Caller) -> None:
    """Sign one of the caller's devices out."""
    await services.sessions.end(principal.id, session_id)


def _device(family: Family, *, current: str | None) -> DeviceBody:
    return DeviceBody(
        id=family.id,
        user_agent=family.device.user_agent,
        address=family.device.address,
        created_at=family.created_at,
        last_used_at=family.last_used_at,
        expires_at=family.expires_at,
        current=family.id == current,
    )
