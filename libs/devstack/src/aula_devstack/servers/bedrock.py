"""The local Bedrock endpoint as a child process."""

import http
import sys
from pathlib import Path

from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process

DEFAULT_PACE_MS = 30


class Bedrock(Process):
    """`python -m aula_devstack.bedrock`: AWS's wire protocol, answers at a settable pace."""

    def __init__(
        self,
        *,
        name: str = "bedrock",
        port: int,
        log_file: Path,
        pace_ms: float = DEFAULT_PACE_MS,
    ) -> None:
        super().__init__(name=name, port=port, log_file=log_file)
        self.pace_ms = pace_ms

    def command(self) -> list[str]:
        """`pace_ms` milliseconds pass between two pieces of an answer."""
        return [
            sys.executable, "-m", "aula_devstack.bedrock", "--host", "127.0.0.1",
            "--port", str(self.port), "--pace-ms", f"{self.pace_ms:g}",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it is alive."""
        return http_status(self.port, "/livez") == http.HTTPStatus.OK
