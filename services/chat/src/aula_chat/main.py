"""The chat service's application: `python -m aula_chat.main`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from aula_chat.api.router import routers, thin_routes
from aula_chat.factory import create_process
from aula_chat.settings import Settings
from aula_common.logging import configure_logging
from aula_common.web.app import create_service_app
from aula_common.web.server import run


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings come from the environment unless they are given."""
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with create_process(chosen, app.state.metrics) as process:
            app.state.process = process
            app.state.verifier = process.verifier
            app.state.readiness = process.check_ready
            drain = app.state.drain
            drain.wait_for(partial(process.handover.drain, drain.requests_ended))
            yield

    return create_service_app(
        service="chat",
        settings=chosen,
        lifespan=lifespan,
        routers=routers,
        thin_routes=thin_routes,
        health_prefix="/api/chat",
    )


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    configure_logging("chat", settings.log_level)
    run(create_app(settings), settings)


if __name__ == "__main__":
    main()
