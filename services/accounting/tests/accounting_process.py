"""The service as it runs in production: a process of its own, on a database of its own."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import requests

from aula_common.ids import new_id
from aula_common.security.principal import USER_AUDIENCE, Role
from aula_devstack.postgres_databases import create_database, database_url, drop_database

_START_SECONDS = 60
_TOKEN_SECONDS = 6 * 3600  # longer than any test runs


@dataclass(frozen=True, kw_only=True)
class AccountingProcess:
    """Where it listens, what it logs, and who may call it."""

    url: str
    log: Path
    secret: str

    def person(self, user_id: str, role: Role = Role.ENDUSER) -> dict[str, str]:
        """Headers of a person."""
        claims = {"sub": user_id, "role": role, "aud": USER_AUDIENCE, "tier": "basic", "teams": []}
        return self._signed(claims)

    def service(self, *scopes: str) -> dict[str, str]:
        """Headers of a service with these scopes."""
        claims = {"sub": "chat", "role": Role.SERVICE, "aud": "accounting"}
        return self._signed({**claims, "scope": " ".join(scopes)})

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        """The body of the answer, which must be a success; the request has a key of its own."""
        headers = {**headers, "Idempotency-Key": new_id("key")}
        answer = requests.post(
            f"{self.url}/api/accounting{path}", json=body, headers=headers, timeout=30
        )
        assert answer.ok, (path, answer.text)
        return answer.json()

    def put(self, path: str, body: Any, headers: dict[str, str]) -> None:
        """Set what a list holds."""
        answer = requests.put(
            f"{self.url}/api/accounting{path}", json=body, headers=headers, timeout=30
        )
        assert answer.ok, (path, answer.text)

    def _signed(self, claims: dict[str, Any]) -> dict[str, str]:
        now = int(time.time())
        usual = {"iss": "aula", "iat": now, "nbf": now, "exp": now + _TOKEN_SECONDS}
        own = {"jti": new_id("tok"), "sid": new_id("fam")}
        token = jwt.encode({**usual, **own, **claims}, self.secret, algorithm="HS256")
        return {"Authorization": f"Bearer {token}"}


@contextmanager
def accounting_process(
    postgres_url: str, log: Path, **variables: str
) -> Iterator[AccountingProcess]:
    """`python -m aula_accounting.main`, ready; ended by SIGTERM, and its database dropped."""
    name = f"test_{secrets.token_hex(8)}"
    create_database(postgres_url, name)
    try:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        secret = secrets.token_hex(32)
        environment = {
            "PATH": os.environ["PATH"],
            "AULA_ENV": "development",
            "DATABASE_URL": database_url(postgres_url, name, scheme="postgresql+asyncpg"),
            "JWT_ACCESS_SECRET": secret,
            "PORT": str(port),
            "DRAIN_DEADLINE": "2",
            **variables,
        }
        _run("-c", "from aula_accounting.cli import main; main()", "migrate", env=environment)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "aula_accounting.main"],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process)
            yield AccountingProcess(url=url, log=log, secret=secret)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        drop_database(postgres_url, name)


def _run(*arguments: str, env: dict[str, str]) -> None:
    subprocess.run(  # noqa: S603 - the arguments are those of this module
        [sys.executable, *arguments],
        env=env,
        check=True,
        capture_output=True,
        timeout=_START_SECONDS,
    )


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was ready"
        try:
            if requests.get(f"{url}/readyz", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)  # until it listens
    raise TimeoutError
