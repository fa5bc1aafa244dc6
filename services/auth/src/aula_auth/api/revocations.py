"""What was withdrawn, for the verifiers of other services."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from aula_auth.api.dependencies import Services
from aula_auth.api.schemas.revocation import RevocationBody, RevocationList
from aula_common.security.principal import Principal
from aula_common.web.access import service

router = APIRouter(prefix="/internal", tags=["internal"])


@router.get("/revocations")
async def list_revocations(
    services: Services,
    _principal: Annotated[Principal, service("revocations:read")],
    since: Annotated[AwareDatetime | None, Query()] = None,
) -> RevocationList:
    """What was withdrawn since the last answer's `next`; without it, all that still matters."""
    feed = await services.revocations.feed(since)
    return RevocationList(
        revocations=[RevocationBody.model_validate(entry) for entry in feed.revocations],
        now=feed.now,
        next=feed.next,
    )
