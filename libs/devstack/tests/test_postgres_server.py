"""PostgreSQL: its data lasts, and it runs whoever starts it and wherever the checkout is."""

import os
import pwd
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from aula_devstack.servers import postgres as postgres_module
from aula_devstack.servers.account import Account
from aula_devstack.servers.descendants import descendants, is_alive
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
from aula_devstack.temporary import temporary_home

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
DAEMON = pwd.getpwnam("daemon")  # an account that every machine has: initdb looks its user up
SOMEONE = Account(user=DAEMON.pw_uid, group=DAEMON.pw_gid)
SCRIPT = """
import sys
from pathlib import Path
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.postgres import Postgres
home = Path(sys.argv[1])
server = Postgres(
    port=Ports().any("p"), data=home / "pg", log_file=home / "p.log", password="secret",
    report=print,
)
server.start()
print(Path(f"/proc/{server.pid}").stat().st_uid, server.data)
server.stop()
"""


def _python_for_someone() -> str:
    """An interpreter of this version that SOMEONE can run; this one may be in root's home."""
    for program in (
        sys.executable,
        f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}",
    ):
        if SOMEONE.can_enter(Path(program)):
            return program
    pytest.skip("every interpreter of this version is closed to other users")


async def _write(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute("CREATE TABLE kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (42)")
    finally:
        await connection.close()


async def _read(server: Postgres) -> int:
    connection = await asyncpg.connect(server.url)
    try:
        return int(await connection.fetchval("SELECT n FROM kept"))
    finally:
        await connection.close()


async def test_data_and_port_outlast_a_stop(postgres_server: Postgres) -> None:
    port = postgres_server.port
    await _write(postgres_server)
    postgres_server.stop()
    assert postgres_server.exit_status == 0
    assert not postgres_server.answers()
    postgres_server.start()
    assert postgres_server.port == port
    assert await _read(postgres_server) == 42


async def test_data_outlasts_a_crash_and_the_next_start_waits_for_its_children(
    postgres_server: Postgres,
) -> None:
    await _write(postgres_server)
    children = descendants(postgres_server.pid)
    assert children
    postgres_server.kill()
    assert not any(is_alive(pid) for pid in children)
    postgres_server.start()
    assert await _read(postgres_server) == 42


def test_a_stop_does_not_wait_for_clients(postgres_server: Postgres) -> None:
    psql = postgres_server._program("psql")
    with subprocess.Popen(
        [str(psql), postgres_server.url, "-c", "SELECT 'here'", "-c", "SELECT pg_sleep(600)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert "?column?" in client.stdout.readline()
        postgres_server.stop()
        assert postgres_server.exit_status == 0
        client.communicate(timeout=10)


async def test_a_wrong_password_is_refused(postgres_server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            postgres_server.url.replace(postgres_server._password, "wrong"), timeout=5
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user stays who they are")
def test_as_root_it_runs_as_nobody(postgres_server: Postgres) -> None:
    assert Path(f"/proc/{postgres_server.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.skipif(os.geteuid() == 0, reason="root becomes nobody")
def test_as_an_ordinary_user_it_runs_as_oneself(postgres_server: Postgres) -> None:
    assert Path(f"/proc/{postgres_server.pid}").stat().st_uid == os.geteuid()


@as_root
def test_an_ordinary_user_can_start_it_and_root_later_runs_it_as_that_user(own_home: Path) -> None:
    python = _python_for_someone()
    home = own_home / "theirs"
    home.mkdir()
    SOMEONE.owns(home)
    by_them = subprocess.run(
        [python, "-c", SCRIPT, str(home)], env={"PYTHONPATH": ":".join(sys.path)},
        user=SOMEONE.user, group=SOMEONE.group, extra_groups=[],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert by_them.stdout.split() == [str(SOMEONE.user), str(home / "pg")], by_them.stderr
    by_root = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home)],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert by_root.stdout.split() == [str(SOMEONE.user), str(home / "pg")], by_root.stderr


@pytest.fixture
def closed_home() -> Iterator[Path]:
    """A directory as root's own home is: closed to everybody else."""
    with temporary_home("aula-closed-") as home:
        home.chmod(0o700)
        yield home


@pytest.fixture
def shelter(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /var/lib/aula."""
    shelter = own_home / "shelter"
    monkeypatch.setattr(postgres_module, "SHELTERS", (shelter,))
    return shelter


@as_root
def test_in_a_home_closed_to_nobody_the_data_stands_elsewhere_and_it_is_said_where(
    closed_home: Path, shelter: Path
) -> None:
    said: list[str] = []

    def make() -> Postgres:
        return Postgres(
            port=Ports().any("p"),
            data=closed_home / "data" / "postgres",
            log_file=closed_home / "postgres.log",
            password=secrets.token_urlsafe(12),
            report=said.append,
        )

    server = make()
    try:
        server.start()
        assert server.answers()
    finally:
        server.stop()
    assert server.data is not None
    assert server.data.is_relative_to(shelter)
    assert (server.data / "PG_VERSION").exists()
    assert str(server.data.parent) in said[0]
    assert make().data == server.data  # found again by the next run


@as_root
def test_binaries_closed_to_nobody_are_copied_once(
    closed_home: Path, own_home: Path, shelter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = postgres_module._reachable_binaries(None, print).parent.parent
    for name in (installed.name, f"{installed.name}.libs"):
        (closed_home / name).symlink_to(installed.with_name(name))
    monkeypatch.syspath_prepend(closed_home)
    said: list[str] = []
    server = Postgres(
        port=Ports().any("p"),
        data=own_home / "data",
        log_file=own_home / "postgres.log",
        password="secret",
        report=said.append,
    )
    try:
        server.start()
        program = Path(f"/proc/{server.pid}/exe").readlink()
        server.restart()
    finally:
        server.stop()
    assert program.is_relative_to(shelter)
    assert len(said) == 1
    assert str(shelter) in said[0]


@as_root
def test_a_shelter_that_others_can_write_is_not_trusted(
    closed_home: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = own_home / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    good = own_home / "good"
    monkeypatch.setattr(postgres_module, "SHELTERS", (open_to_all, good))
    server = Postgres(port=1, data=closed_home / "pg", log_file=closed_home / "l", password="x")
    assert server.data is not None
    assert server.data.is_relative_to(good)


def test_an_interrupted_first_start_is_begun_again(own_home: Path) -> None:
    left_over = own_home / "pg.making"
    left_over.mkdir()
    (left_over / "half").write_text("made")
    shutil.copy(left_over / "half", own_home / "pg.password")
    server = Postgres(
        port=Ports().any("p"), data=own_home / "pg", log_file=own_home / "p.log", password="secret"
    )
    try:
        server.start()
    finally:
        server.stop()
    assert not left_over.exists()
    assert not (own_home / "pg.password").exists()
