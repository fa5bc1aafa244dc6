"""The one directory that holds a platform's data, logs and secrets."""

import os
import shutil
from pathlib import Path

from aula_devstack.errors import HomeNotOursError
from aula_devstack.secrets_file import SecretsFile
from aula_devstack.state import StateFile


class Home:
    """Paths below the home directory, and what is kept in it."""

    def __init__(self, path: Path) -> None:
        """Make the directory if need be; raises HomeNotOursError if it cannot be written."""
        self.path = path.absolute()
        try:
            # root's is open for passing through: PostgreSQL's account must reach its data
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeNotOursError(self.path) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise HomeNotOursError(self.path)
        self.state = StateFile(self.path)

    @property
    def secrets(self) -> SecretsFile:
        """The secrets of this home, as they are stored now."""
        return SecretsFile(self.path / "secrets.json")

    def data(self, name: str) -> Path:
        """Where a server keeps its data."""
        return self.path / "data" / name

    def log(self, name: str) -> Path:
        """Where a process writes its output."""
        return self.path / "logs" / f"{name}.log"

    def begin_logs(self) -> None:
        """Keep the logs of the last run beside (`.log.1`) and begin empty ones."""
        for log in (self.path / "logs").glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def clear(self) -> None:
        """Remove all data and secrets; only for whoever holds the lock."""
        for name in ("data", "logs"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / "secrets.json").unlink(missing_ok=True)
