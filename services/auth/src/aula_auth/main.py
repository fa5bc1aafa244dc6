"""The application: `python -m aula_auth.main` serves it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from aula_auth.api.router import ROUTERS
from aula_auth.factory import open_context
from aula_auth.settings import Settings
from aula_common.clock import Clock, SystemClock
from aula_common.logging import configure_logging
from aula_common.web.app import create_service_app
from aula_common.web.server import run


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> FastAPI:
    """The application for these settings, or for those of the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(settings, clock=clock or SystemClock()) as context:
            app.state.context = context
            app.state.verifier = context.verifier
            app.state.readiness = context.require_ready
            yield

    return create_service_app(
        service="auth",
        settings=settings,
        lifespan=lifespan,
        routers=ROUTERS,
        health_prefix="/api/auth",
    )


def main() -> None:
    """Serve with the settings of the environment until SIGTERM."""
    settings = Settings()
    configure_logging("auth", settings.log_level)
    run(create_app(settings), settings)


if __name__ == "__main__":
    main()
