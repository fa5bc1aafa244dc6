"""The keys that verify access tokens."""

from typing import Any

from fastapi import APIRouter, Response

from aula_auth.api.dependencies import Services

router = APIRouter(prefix="/api/auth/.well-known", tags=["keys"])


@router.get("/jwks.json")
async def get_jwks(services: Services, response: Response) -> dict[str, Any]:
    """The JSON Web Key Set (RFC 7517); empty in the shared-secret mode."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return services.signer.jwks()
