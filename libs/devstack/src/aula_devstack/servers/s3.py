"""S3 by moto's server. It keeps everything in memory: development and tests only."""

import http
import importlib.util
import sys

from aula_devstack.errors import NotInstalledError
from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process


class S3(Process):
    """One S3 endpoint; any credentials are accepted."""

    def prepare(self) -> None:
        """Nothing to make; only see that it is installed."""
        if importlib.util.find_spec("moto") is None:
            raise NotInstalledError("moto (S3)")

    def command(self) -> list[str]:
        """The server's module in an interpreter of its own."""
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def answers(self) -> bool:
        """Whether its own page answers."""
        return http_status(self.port, "/moto-api/") == http.HTTPStatus.OK
