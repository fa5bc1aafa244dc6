"""The application factory of every service."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version as package_version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from aula_common.clock import SystemClock
from aula_common.metrics import Metrics
from aula_common.settings import ServiceSettings
from aula_common.traces import flushed_after, start_traces
from aula_common.web.answers import PROBLEM_SCHEMA, document_answers
from aula_common.web.drain import Drain
from aula_common.web.health import health_router
from aula_common.web.middleware import BodyLimit, RefuseWhileDraining, RequestContext
from aula_common.web.problems import MEDIA_TYPE, install_problem_handlers
from aula_common.web.thin import ThinRoute, ThinRoutes

ANY_PROBLEM: dict[str, Any] = {
    "description": "A problem document (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
}

# a service tells of itself by its metrics, log lines and own spans; FastAPI's would wrap each send,
# tell whole paths and queries, and ask three providers for each request
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _ExactlyDocumented(FastAPI):
    """An application whose OpenAPI document names each answer."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document_answers(super().openapi())
        document: dict[str, Any] = self.openapi_schema or {}
        return document


def create_service_app(
    *,
    service: str,
    settings: ServiceSettings,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    health_prefix: str,
    thin_routes: Sequence[ThinRoute[Any]] = (),
    exact_answers: bool = False,
) -> FastAPI:
    """An application with probes, metrics, traces, problem documents and the house's middleware.

    The lifespan must set on `app.state`: `verifier` (TokenVerifier) and `readiness` (an async
    function that raises UnavailableError); it finds `metrics` and `drain` there.
    With `exact_answers` each route names its `refusals`, and OpenAPI those and no others; without,
    OpenAPI says of every route that it may answer with any problem.
    """
    version = package_version(f"aula-{service}")
    metrics = Metrics()
    drain = Drain()
    if (spans := start_traces(service, version, settings.traces)) is not None:
        lifespan = flushed_after(lifespan, spans)
    app = (_ExactlyDocumented if exact_answers else FastAPI)(
        title=f"Aula {service}",
        version=version,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestContext, metrics=metrics),
            Middleware(RefuseWhileDraining, drain=drain),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origin,
                allow_credentials=True,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=[
                    "Authorization",
                    "Content-Type",
                    "Idempotency-Key",
                    "Last-Event-ID",
                    "X-Request-Id",
                ],
                expose_headers=[
                    "Retry-After",
                    "X-RateLimit-Limit",
                    "X-RateLimit-Remaining",
                    "X-RateLimit-Reset",
                    "X-Request-Id",
                ],
            ),
            Middleware(BodyLimit, limit=settings.max_body_bytes),
            *([Middleware(ThinRoutes, routes=thin_routes)] if thin_routes else []),
        ],
        telemetry=_NO_TELEMETRY,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would be built from the Host header
        responses=None if exact_answers else dict.fromkeys(("4XX", 422, "5XX"), ANY_PROBLEM),
    )
    app.state.metrics = metrics
    app.state.drain = drain
    install_problem_handlers(app, body_limit=settings.max_body_bytes)
    app.include_router(
        health_router(service=service, version=version, prefix=health_prefix, clock=SystemClock())
    )
    for router in routers:
        app.include_router(router)
    return app
