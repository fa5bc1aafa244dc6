"""Chat processes that a cell harms; the gateway's own survives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import broken_chat
from fault_checks import Victim

from aula_devstack.platform import Platform
from aula_devstack.temporary import temporary_home
from aula_devstack.testing.failpoints import FailpointDirectory


@contextmanager
def victim_of(platform: Platform, **environment: str) -> Iterator[Victim]:
    """A victim inside the block, with these variables."""
    with temporary_home("aula-failpoints-") as home:
        failpoints = FailpointDirectory(Path(home))
        breach = broken_chat.environment()
        process = platform.add_replica(
            "chat",
            environment={**failpoints.environment, **breach, **environment},
            module=broken_chat.__name__ if breach else None,
        )
        try:
            yield Victim(process, failpoints)
        finally:
            process.resume()
            process.kill()
