"""The service and its commands as processes of their own."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from auth_builders import PASSWORD, REFRESH_SECRET, SIGNING_SECRET

ADMIN = ("create-admin", "--username", "root", "--email", "root@example.org", "--password-stdin")

NO_DATABASE = {"MONGO_URI": "mongodb://127.0.0.1:9/x", "MONGO_TIMEOUT_SECONDS": "1"}


def environment(mongo_uri: str, **variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AULA_ENV": "development",
        "MONGO_URI": mongo_uri,
        "JWT_REFRESH_SECRET": REFRESH_SECRET,
        "SIGNING_KEYS_SECRET": SIGNING_SECRET,
        "DRAIN_DEADLINE": "2",
        **variables,
    }


async def run_command(
    mongo_uri: str, *arguments: str, stdin: str = "", **variables: str
) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from aula_auth.cli import main; main()",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(mongo_uri, **variables),
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serve(mongo_uri: str) -> AsyncIterator[httpx.AsyncClient]:
    """`python -m aula_auth.main` on a free port, ready; ended by SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "aula_auth.main",
        stdout=asyncio.subprocess.DEVNULL,
        env=environment(mongo_uri, PORT=str(port)),
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await wait_until_ready(http)
            yield http
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def wait_until_ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_two_processes_that_start_at_once_publish_the_same_keys(
    mongo_database: str,
) -> None:
    async with serve(mongo_database) as one, serve(mongo_database) as two:
        body = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
        assert (await one.post("/api/auth/register", json=body)).status_code == 201
        login = {"username": "ada", "password": PASSWORD}
        token = (await one.post("/api/auth/login", json=login)).json()["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await two.get("/api/auth/me", headers=headers)).status_code == 200
        keys = [(await http.get("/api/auth/.well-known/jwks.json")).json() for http in (one, two)]
        assert keys[0] == keys[1]


async def test_first_admin_is_created_once(mongo_database: str) -> None:
    status, out, err = await run_command(mongo_database, *ADMIN, stdin=f"{PASSWORD}\n")
    assert (status, out, err) == (0, "root: created\n", "")
    status, out, _ = await run_command(mongo_database, *ADMIN, stdin=f"{PASSWORD}\n")
    assert (status, out) == (0, "root: is an administrator already\n")
    async with serve(mongo_database) as http:
        login = {"username": "root", "password": PASSWORD}
        answer = await http.post("/api/auth/login", json=login)
        assert answer.json()["user"]["role"] == "admin"


async def test_existing_user_becomes_admin_only_when_asked_to(mongo_database: str) -> None:
    async with serve(mongo_database) as http:
        body = {"username": "Root", "email": "r@example.org", "password": PASSWORD}
        await http.post("/api/auth/register", json=body)
        status, _, err = await run_command(mongo_database, *ADMIN, stdin=f"{PASSWORD}\n")
        assert status == 1
        assert "--promote" in err
        status, out, _ = await run_command(
            mongo_database, *ADMIN, "--promote", stdin=f"{PASSWORD}\n"
        )
        assert (status, out) == (0, "root: promoted\n")
        login = {"username": "root", "password": PASSWORD}
        answer = await http.post("/api/auth/login", json=login)
        assert answer.json()["user"]["role"] == "admin"


@pytest.mark.parametrize(
    ("arguments", "stdin", "variables", "said"),
    [
        (ADMIN, "short\n", {}, "password"),
        ((*ADMIN, "--username", "x"), "long enough\n", {}, "username"),
        (ADMIN, "long enough\n", {"JWT_REFRESH_SECRET": "planted"}, "JWT_REFRESH_SECRET"),
        (ADMIN, "long enough\n", NO_DATABASE, "database"),
    ],
)
async def test_command_that_fails_says_why_in_a_line(
    mongo_database: str,
    arguments: tuple[str, ...],
    stdin: str,
    variables: dict[str, str],
    said: str,
) -> None:
    status, out, err = await run_command(mongo_database, *arguments, stdin=stdin, **variables)
    assert (status, out) == (1, "")
    assert said in err
    assert "Traceback" not in err
    assert "planted" not in err


async def test_keys_are_rotated_by_command(mongo_database: str) -> None:
    async with serve(mongo_database) as http:
        before = (await http.get("/api/auth/.well-known/jwks.json")).json()["keys"]
        status, out, _ = await run_command(mongo_database, "rotate-keys")
        assert (status, out) == (0, f"signing with {before[1]['kid']}\n")


async def test_wrong_signing_secret_is_refused_in_plain_words(mongo_database: str) -> None:
    assert (await run_command(mongo_database, "rotate-keys"))[0] == 0
    status, _, err = await run_command(mongo_database, "rotate-keys", SIGNING_KEYS_SECRET="x" * 32)
    assert status == 1
    assert "SIGNING_KEYS_SECRET" in err
    assert "Traceback" not in err
