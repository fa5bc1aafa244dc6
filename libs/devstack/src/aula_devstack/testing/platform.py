"""The whole platform for end-to-end tests, each service a process."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from aula_devstack.environment import SERVICES
from aula_devstack.platform import Platform
from aula_devstack.temporary import temporary_home

# short, so that a test of recovery need not wait long
QUICK = {
    "STREAM_LEASE_SECONDS": "4",
    "CHECKPOINT_SECONDS": "1",
    "DRAIN_DEADLINE": "5",
    "REVOCATION_POLL_SECONDS": "1",
}
TEST_PACE_MS = 10


@pytest.fixture(scope="session")
def make_platform() -> Iterator[Callable[..., Platform]]:
    """Starts a platform in a temporary home on free ports; all are stopped after the last test.

    Arguments, all by keyword: `environment`, `service_environment`, `services`, `pace_ms`,
    `seeded`, as `Platform` has them; the test's quick settings stand unless they are overridden.
    """
    with ExitStack() as stack:

        def make(
            *,
            environment: Mapping[str, str] | None = None,
            service_environment: Mapping[str, Mapping[str, str]] | None = None,
            services: tuple[str, ...] = SERVICES,
            pace_ms: float = TEST_PACE_MS,
            seeded: bool = True,
        ) -> Platform:
            platform = Platform(
                home=stack.enter_context(temporary_home("aula-e2e-")),
                environment={**QUICK, **(environment or {})},
                service_environment=service_environment,
                services=services,
                pace_ms=pace_ms,
                seeded=seeded,
            )
            stack.callback(platform.stop)
            platform.start()
            return platform

        yield make


@pytest.fixture(scope="session")
def platform(make_platform: Callable[..., Platform]) -> Platform:
    """One seeded platform for the whole run; a test that breaks a part mends it again."""
    return make_platform()
