"""Ports on 127.0.0.1, all below the ephemeral range, which begins at 32768."""

import random
import socket
from collections.abc import Callable

from aula_devstack.errors import NoFreePortError, PortTakenError

EPHEMERAL = 32768
FIRST_FREE = 20000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """Hands out ports, none of them twice, even before their servers listen."""

    def __init__(self, *, report: Callable[[str], None] = lambda _: None) -> None:
        self._report = report
        self._given: set[int] = set()

    def explicit(self, name: str, port: int) -> int:
        """The port that the user asked for; raises PortTakenError if it is in use."""
        if port in self._given or not is_free(port):
            raise PortTakenError(name, port)
        self._given.add(port)
        return port

    def preferred(self, name: str, port: int) -> int:
        """This port if it is free, else the next free one, which is reported."""
        for candidate in range(port, EPHEMERAL):
            if candidate not in self._given and is_free(candidate):
                if candidate != port:
                    self._report(f"port {port} of {name} is taken: {candidate} is used instead")
                self._given.add(candidate)
                return candidate
        raise NoFreePortError(name)

    def any(self, name: str) -> int:
        """A free port at random, so that two test runs at once hardly ever meet."""
        for _ in range(1000):
            candidate = random.randrange(FIRST_FREE, EPHEMERAL)  # noqa: S311 - no secret
            if candidate not in self._given and is_free(candidate):
                self._given.add(candidate)
                return candidate
        raise NoFreePortError(name)
