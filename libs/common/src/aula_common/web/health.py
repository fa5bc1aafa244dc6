"""What operators and load balancers ask a service."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response

from aula_common.clock import Clock
from aula_common.errors import UnavailableError
from aula_common.metrics import Metrics
from aula_common.security.principal import Principal
from aula_common.web.access import user_or_service
from aula_common.web.answers import refusals
from aula_common.web.drain import Drain
from aula_common.web.schemas import ResponseModel

_READINESS_SECONDS = 5


class Health(ResponseModel):
    """That the service answers, and which one it is."""

    status: str
    service: str
    version: str
    timestamp: datetime


class Version(ResponseModel):
    """Which service in which version."""

    service: str
    version: str


def health_router(*, service: str, version: str, prefix: str, clock: Clock) -> APIRouter:
    """The probes of one service; `prefix` is where the gateway routes it."""
    router = APIRouter(tags=["health"])

    async def health() -> Health:
        return Health(status="ok", service=service, version=version, timestamp=clock.now())

    for path in dict.fromkeys(("/health", "/api/health", f"{prefix}/health")):
        router.add_api_route(path, health, response_model=Health, operation_id=f"health{path}")

    @router.get("/livez")
    async def live() -> dict[str, str]:
        """200 while the process can answer at all."""
        return {"status": "ok"}

    @router.get("/readyz", responses=refusals(UnavailableError))
    async def ready(request: Request) -> dict[str, str]:
        """200 when work may be sent here; 503 while draining or without its own database."""
        drain: Drain = request.app.state.drain
        if drain.active:
            raise UnavailableError("this instance", retry_after=1)
        try:
            async with asyncio.timeout(_READINESS_SECONDS):
                await request.app.state.readiness()
        except TimeoutError as error:
            raise UnavailableError("this instance") from error
        return {"status": "ok"}

    @router.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        registry: Metrics = request.app.state.metrics
        return Response(registry.exposition(), media_type=registry.content_type)

    @router.get("/api/version")
    async def show_version(
        _principal: Annotated[Principal, user_or_service(scope="version:read")],
    ) -> Version:
        """The running version, for who is signed in."""
        return Version(service=service, version=version)

    return router
