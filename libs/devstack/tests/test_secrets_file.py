"""Secrets are made once and readable by their owner only."""

import stat
from pathlib import Path

from aula_devstack.people import demo_people
from aula_devstack.secrets_file import SecretsFile


def test_a_secret_is_the_same_after_a_restart_and_has_32_bytes_at_least(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = SecretsFile(path).secret("signing_keys")
    assert len(made.encode()) >= 32
    assert SecretsFile(path).secret("signing_keys") == made
    assert SecretsFile(path).secret("another") != made


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    SecretsFile(path).secret("one")
    SecretsFile(path).secret("two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_demo_people_keep_their_passwords(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    people = demo_people(SecretsFile(path))
    assert [person.username for person in people] == ["admin", "sam", "ada", "ben"]
    assert len({person.password for person in people}) == 4
    assert demo_people(SecretsFile(path)) == people
