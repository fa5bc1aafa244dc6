"""Ports on 127.0.0.1, all below the ephemeral range, which begins at 32768."""

import os
import random
import socket
import weakref
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
    """Hands out ports, none of them twice, even before their servers listen.

    Between the choice of a port and its server's start lie seconds, in which another `aula` on the
    machine may choose too. So each port is also claimed, until this object or its process ends.
    """

    def __init__(self, *, report: Callable[[str], None] = lambda _: None) -> None:
        self._report = report
        self._claims: list[int] = []
        weakref.finalize(self, _release, self._claims)

    def explicit(self, name: str, port: int) -> int:
        """The port that the user asked for; raises PortTakenError if it is in use."""
        if not self._claim(port):
            raise PortTakenError(name, port)
        return port

    def preferred(self, name: str, port: int) -> int:
        """This port if it is free, else the next free one, which is reported."""
        for candidate in range(port, EPHEMERAL):
            if self._claim(candidate):
                if candidate != port:
                    self._report(f"port {port} of {name} is taken: {candidate} is used instead")
                return candidate
        raise NoFreePortError(name)

    def any(self, name: str) -> int:
        """A free port at random, so that two test runs at once hardly ever meet."""
        for _ in range(1000):
            candidate = random.randrange(FIRST_FREE, EPHEMERAL)  # noqa: S311 - no secret
            if self._claim(candidate):
                return candidate
        raise NoFreePortError(name)

    def _claim(self, port: int) -> bool:
        """Whether the port is free, and nobody else's claim. It is ours from then on."""
        # a name in the system's abstract space: one owner only, and gone with its process
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0aula-port-{port}")
        except OSError:
            claim.close()
            return False
        if not is_free(port):
            claim.close()
            return False
        self._claims.append(claim.detach())
        return True


def _release(claims: list[int]) -> None:
    for descriptor in claims:
        os.close(descriptor)
