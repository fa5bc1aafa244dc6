"""The application: `python -m aula_accounting.main` serves it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from aula_accounting.api.router import PREFIX, alias_router, router, thin_routes
from aula_accounting.domain.errors import SchemaError
from aula_accounting.factory import create_context, open_relay
from aula_accounting.settings import Settings
from aula_common.clock import Clock, SystemClock
from aula_common.errors import UnavailableError
from aula_common.http import create_session
from aula_common.logging import configure_logging, get_logger
from aula_common.metrics import Metrics
from aula_common.security.access import create_access
from aula_common.security.verifier import TokenVerifier
from aula_common.tasks import Supervisor
from aula_common.web.app import create_service_app
from aula_common.web.server import run

_log = get_logger(__name__)
_START_DEADLINE_SECONDS = 30


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    verifier: TokenVerifier | None = None,
) -> FastAPI:
    """The application for these settings, or for those of the environment.

    Its start waits for the database for 30 s (UnavailableError) and raises SchemaError unless
    the schema is at head. A `verifier` given replaces the one that the settings describe.
    """
    settings = settings or Settings()
    clock = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        supervisor = Supervisor()
        async with (
            create_session() as session,
            create_context(
                database=settings.database,
                rules=settings.credits,
                clock=clock,
                metrics=app.state.metrics,
                grouping=settings.group_commit,
            ) as context,
            open_relay(context, news=settings.news, metrics=app.state.metrics) as relay,
        ):
            await _wait_for_schema(context.check_schema)
            app.state.context = context
            app.state.readiness = context.check_ready
            app.state.verifier = (
                verifier
                or create_access(
                    "accounting",
                    settings.tokens,
                    session=session,
                    clock=clock,
                    supervisor=supervisor,
                ).verifier
            )
            supervisor.every(
                settings.credits.sweep_interval_seconds, context.sweeper.sweep, name="sweep"
            )
            if relay is not None:
                supervisor.every(
                    settings.news.news_interval_seconds, relay.publish_pending, name="publish news"
                )
            try:
                yield
            finally:
                await supervisor.close()

    return create_service_app(
        service="accounting",
        settings=settings,
        lifespan=lifespan,
        routers=[router, alias_router],
        health_prefix=PREFIX,
        thin_routes=thin_routes,
        exact_answers=True,
    )


async def _wait_for_schema(check: Callable[[], Awaitable[None]]) -> None:
    deadline = time.monotonic() + _START_DEADLINE_SECONDS
    while True:
        try:
            await check()
        except UnavailableError:
            if time.monotonic() >= deadline:
                raise
            _log.warning("waiting for the database")
            await asyncio.sleep(1)
        else:
            return


async def _check_start(settings: Settings) -> None:
    async with create_context(
        database=settings.database, rules=settings.credits, clock=SystemClock(), metrics=Metrics()
    ) as context:
        await _wait_for_schema(context.check_schema)


def main() -> None:
    """Serve until SIGTERM, configured by the environment.

    Exits with 3 and a message if the database is away or its schema is not this program's.
    """
    settings = Settings()
    configure_logging("accounting", settings.log_level)
    try:
        asyncio.run(_check_start(settings))
    except (SchemaError, UnavailableError) as error:
        _log.critical("refusing to start", code=error.code, detail=error.detail)
        print(f"accounting does not start: {error.detail}", file=sys.stderr)  # noqa: T201 - for the operator at the terminal
        raise SystemExit(3) from None
    run(create_app(settings), settings)


if __name__ == "__main__":
    main()
