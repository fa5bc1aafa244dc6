"""One of Aula's services as a child process."""

import http
import importlib.util
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from aula_devstack.errors import CommandFailedError, NotInstalledError
from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process, bound_to_this_process


class Service(Process):
    """`python -m aula_<service>.main` with its settings in the environment."""

    def __init__(
        self,
        *,
        service: str,
        name: str,
        port: int,
        log_file: Path,
        environment: Mapping[str, str],
        module: str | None = None,
        python: str = sys.executable,
    ) -> None:
        """`service` is the kind (`chat`), `name` this replica's own (`chat-2`).

        `module`: what to run instead of the service's own main module; `python`: the interpreter of
        the environment that it is installed in.
        """
        super().__init__(
            name=name,
            port=port,
            log_file=log_file,
            environment={"HOST": "127.0.0.1", "PORT": str(port), **environment},
        )
        self.service = service
        self.python = python
        self._module = module or f"aula_{service}.main"

    def prepare(self) -> None:
        """Nothing to make; only see that the service is installed."""
        if importlib.util.find_spec(f"aula_{self.service}") is None:
            raise NotInstalledError(f"aula-{self.service}")

    def command(self) -> list[str]:
        """Its main module."""
        return [self.python, "-m", self._module]

    def answers(self) -> bool:
        """Whether it reports itself ready."""
        return http_status(self.port, "/readyz") == http.HTTPStatus.OK

    def another(
        self,
        *,
        name: str,
        port: int,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        module: str | None = None,
    ) -> "Service":
        """A replica with this one's settings and a port of its own, made but not started."""
        inherited = {
            key: value for key, value in self.environment.items() if key not in {"HOST", "PORT"}
        }
        return Service(
            service=self.service,
            name=name,
            port=port,
            log_file=log_file,
            environment={**inherited, **(environment or {})},
            module=module,
            python=self.python,
        )

    def run_command(self, *words: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Run the service's own command to its end with its settings; returns what it printed.

        Raises CommandFailedError. `stdin` never appears in an error.
        """
        program = Path(self.python).parent / self.service
        done = subprocess.run(
            bound_to_this_process([str(program), *words], death_signal=signal.SIGKILL),
            input=stdin or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            start_new_session=True,
            cwd="/",
            env=self.full_environment(),
        )
        if done.returncode != 0:
            raise CommandFailedError(
                name=f"{self.service} {words[0]}",
                status=done.returncode,
                output=done.stdout + done.stderr,
            )
        return done.stdout
