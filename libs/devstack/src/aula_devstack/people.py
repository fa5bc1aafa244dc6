"""The demo people: made once in each home, their passwords kept in its secrets."""

from collections.abc import Iterator
from dataclasses import dataclass

from aula_devstack.secrets_file import SecretsFile

CREDITS_EACH = 1000


@dataclass(frozen=True)
class DemoPerson:
    """Someone who can sign in."""

    username: str
    email: str
    password: str
    role: str


@dataclass(frozen=True)
class DemoPeople:
    """An administrator, a supervisor, and two students; the supervisor may watch ada."""

    admin: DemoPerson
    sam: DemoPerson
    ada: DemoPerson
    ben: DemoPerson

    def __iter__(self) -> Iterator[DemoPerson]:
        return iter((self.admin, self.sam, self.ada, self.ben))


def demo_people(secrets: SecretsFile) -> DemoPeople:
    """The demo people with this home's passwords."""

    def person(username: str, role: str) -> DemoPerson:
        return DemoPerson(
            username=username,
            email=f"{username}@aula.example",
            password=secrets.password(f"person.{username}"),
            role=role,
        )

    return DemoPeople(
        admin=person("admin", "admin"),
        sam=person("sam", "supervisor"),
        ada=person("ada", "enduser"),
        ben=person("ben", "enduser"),
    )
