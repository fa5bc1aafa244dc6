"""Signing in, staying signed in, signing out."""

from typing import Annotated

from fastapi import APIRouter

from aula_auth.api.dependencies import CallerDevice, NoStore, Services
from aula_auth.api.schemas.session import LoginRequest, RefreshRequest, SessionBody
from aula_auth.domain.family import EndReason
from aula_common.security.principal import Principal
from aula_common.web.access import user

router = APIRouter(prefix="/api/auth", tags=["sessions"])


@router.post("/login", dependencies=[NoStore])
async def login(body: LoginRequest, services: Services, device: CallerDevice) -> SessionBody:
    """Sign in with a username or an email address, and the password."""
    session = await services.login.sign_in(
        name=body.name, password=body.password.get_secret_value(), device=device
    )
    return SessionBody.of(session)


@router.post("/refresh", dependencies=[NoStore])
async def refresh(body: RefreshRequest, services: Services) -> SessionBody:
    """A new pair of tokens; the refresh token sent is spent."""
    return SessionBody.of(await services.sessions.refresh(body.refresh_token.get_secret_value()))


@router.post("/logout", status_code=204)
async def logout(services: Services, principal: Annotated[Principal, user()]) -> None:
    """End this session."""
    await services.sessions.sign_out(principal)


@router.post("/logout-all", status_code=204)
async def logout_all(services: Services, principal: Annotated[Principal, user()]) -> None:
    """End every session of the caller, this one too."""
    await services.sessions.end_all(
        principal.id, actor_id=principal.id, reason=EndReason.SIGNED_OUT_EVERYWHERE
    )
