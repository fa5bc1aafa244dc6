"""The service as it runs in production: a process of its own, on a database of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from aula_common.ids import new_id
from aula_common.security.principal import Role
from aula_common.testing import TokenMint
from aula_devstack.postgres_databases import create_database, database_url, drop_database
from aula_devstack.servers.ports import Ports
from aula_devstack.servers.service import Service

_FAR_FUTURE = 2**33  # no test runs so long


@dataclass(frozen=True, kw_only=True)
class AccountingProcess:
    """The process, and who signs its callers' tokens."""

    process: Service
    mint: TokenMint

    def person(self, user_id: str, role: Role = Role.ENDUSER) -> dict[str, str]:
        """Headers of a person."""
        return _bearer(self.mint.user(user_id, role=role, exp=_FAR_FUTURE))

    def service(self, *scopes: str) -> dict[str, str]:
        """Headers of a service with these scopes."""
        token = self.mint.service("chat", audience="accounting", scopes=scopes, exp=_FAR_FUTURE)
        return _bearer(token)

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        """The body of the answer, which must be a success; the request has a key of its own."""
        return self._send("POST", path, body, {**headers, "Idempotency-Key": new_id("key")})

    def put(self, path: str, body: Any, headers: dict[str, str]) -> None:
        """Set what a list holds."""
        self._send("PUT", path, body, headers)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        url = f"{self.process.url}/api/accounting{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=30)
        assert answer.ok, (path, answer.text)
        return answer.json()


@contextmanager
def accounting_process(
    postgres_url: str, log_file: Path, **variables: str
) -> Iterator[AccountingProcess]:
    """The service, ready; ended in the end, and its database dropped."""
    name = f"test_{secrets.token_hex(8)}"
    create_database(postgres_url, name)
    secret = secrets.token_hex(32)
    process = Service(
        service="accounting",
        name="accounting",
        port=Ports().any("accounting"),
        log_file=log_file,
        environment={
            "AULA_ENV": "development",
            "DATABASE_URL": database_url(postgres_url, name, scheme="postgresql+asyncpg"),
            "JWT_ACCESS_SECRET": secret,
            **variables,
        },
    )
    try:
        process.run_command("migrate")
        process.start()
        yield AccountingProcess(process=process, mint=TokenMint(shared_secret=secret))
    finally:
        process.stop()
        drop_database(postgres_url, name)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
