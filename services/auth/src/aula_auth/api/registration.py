"""Self-registration."""

from fastapi import APIRouter

from aula_auth.api.dependencies import CallerDevice, Services
from aula_auth.api.schemas.user import RegisterRequest, UserBody

router = APIRouter(prefix="/api/auth", tags=["sessions"])


@router.post("/register", status_code=201)
async def register(body: RegisterRequest, services: Services, device: CallerDevice) -> UserBody:
    """Create an end user."""
    user = await services.registration.register(
        username=body.username,
        email=body.email,
        password=body.password.get_secret_value(),
        display_name=body.display_name,
        address=device.address,
    )
    return UserBody.model_validate(user)
