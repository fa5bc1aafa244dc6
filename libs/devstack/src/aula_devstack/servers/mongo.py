"""The MongoDB server of development: SecantusDB.

It is GPL-2.0: it is found by its name only, never imported, and runs as a separate process.
"""

import importlib.util
import struct
import sys
from pathlib import Path

from aula_devstack.errors import NotInstalledError
from aula_devstack.servers.probes import exchange
from aula_devstack.servers.process import Process

OP_MSG = 2013
# the document that asks for a ping of the database admin, in BSON
PING = b"\x1e\x00\x00\x00\x10ping\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"


class Mongo(Process):
    """One server that speaks MongoDB's protocol."""

    def __init__(self, *, name: str = "mongo", port: int, data: Path, log_file: Path) -> None:
        super().__init__(name=name, port=port, log_file=log_file)
        self.data: Path = data.absolute()

    @property
    def url(self) -> str:
        """The address, without a database."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def prepare(self) -> None:
        """Make the data directory, and a settings file so that none of the machine's is read."""
        if importlib.util.find_spec("secantus") is None:
            raise NotInstalledError("SecantusDB")
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings_file.touch()

    def command(self) -> list[str]:
        """The server's module in an interpreter of its own."""
        return [
            sys.executable, "-m", "secantus", "--config", str(self._settings_file),
            "--host", "127.0.0.1", "--port", str(self.port), "--storage-path", str(self.data),
            "--log-level", "WARNING", "--cache-size", "256M",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it answers a ping in its own protocol."""
        body = struct.pack("<IB", 0, 0) + PING
        header = struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG)
        return b"ok\x00" in exchange(self.port, header + body)

    @property
    def _settings_file(self) -> Path:
        return self.data.with_name(f"{self.data.name}.toml")
