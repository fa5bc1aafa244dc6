"""The monitoring service: `python -m aula_monitoring.main`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from aula_common.logging import configure_logging
from aula_common.web.app import create_service_app
from aula_common.web.server import run
from aula_monitoring.api.router import ROUTERS
from aula_monitoring.factory import create_context
from aula_monitoring.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with create_context(chosen, metrics=app.state.metrics) as context:
            app.state.context = context
            app.state.verifier = context.verifier
            app.state.readiness = context.database.require_answer
            app.state.drain.wait_for(context.watch.drain)
            yield

    return create_service_app(
        service="monitoring",
        settings=chosen,
        lifespan=lifespan,
        routers=ROUTERS,
        health_prefix="/api/monitoring",
    )


def main() -> None:
    """Serve until asked to end."""
    settings = Settings()
    configure_logging("monitoring", settings.log_level)
    run(create_app(settings), settings)


if __name__ == "__main__":
    main()
