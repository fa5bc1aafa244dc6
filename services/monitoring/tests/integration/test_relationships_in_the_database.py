"""What the database itself guarantees."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from aula_common.errors import UnavailableError
from aula_common.ids import new_id
from aula_common.mongo import create_client, database
from aula_common.security.principal import Role
from aula_common.settings import MongoSettings
from aula_monitoring.domain.audit import AuditEntry, AuditKind, AuditSearch
from aula_monitoring.domain.errors import RelationshipExistsError
from aula_monitoring.domain.relationship import Mode, Relationship, RelationshipSearch, Status
from aula_monitoring.storage.audit import AuditRepository
from aula_monitoring.storage.database import Database
from aula_monitoring.storage.relationships import RelationshipRepository

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _relationship(**fields: Any) -> Relationship:
    usual = Relationship(
        id=new_id("rel"),
        supervisor_id="usr_a",
        student_id="usr_b",
        mode=Mode.LIVE,
        status=Status.ACTIVE,
        valid_from=NOW,
        valid_until=None,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(usual, **fields)


@pytest.fixture
async def store(mongo_database: str) -> AsyncIterator[Database]:
    """The prepared database."""
    client = create_client(MongoSettings(mongo_uri=SecretStr(mongo_database)), application="test")
    prepared = Database(database(client, default="unused"))
    await prepared.prepare()
    yield prepared
    await client.close()


async def test_a_pair_has_one_active_relationship_however_many_are_added_at_once(
    store: Database,
) -> None:
    repository = RelationshipRepository(store)
    results = await asyncio.gather(
        *(repository.add(_relationship()) for _ in range(20)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, RelationshipExistsError) for result in results) == 19
    for _ in range(2):
        await repository.add(_relationship(status=Status.ENDED))


async def test_before_the_index_is_made_nothing_is_added(mongo_database: str) -> None:
    client = create_client(MongoSettings(mongo_uri=SecretStr(mongo_database)), application="test")
    repository = RelationshipRepository(Database(database(client, default="unused")))
    with pytest.raises(UnavailableError):
        await repository.add(_relationship())
    await client.close()


async def test_what_is_stored_comes_back_and_a_stale_version_changes_nothing(
    store: Database,
) -> None:
    repository = RelationshipRepository(store)
    first = _relationship(valid_until=NOW + timedelta(days=1))
    await repository.add(first)
    assert await repository.find(first.id) == first
    second = replace(first, mode=Mode.OFF, version=2)
    assert await repository.replace(second, version=1)
    assert not await repository.replace(replace(first, version=2), version=1)
    assert await repository.find_many([first.id, "rel_none"], within=5) == {first.id: second}


async def test_the_time_decides_what_is_active_whatever_is_stored(store: Database) -> None:
    repository = RelationshipRepository(store)
    later = NOW + timedelta(days=1)
    await repository.add(_relationship(valid_until=later))

    async def found(at: datetime) -> int:
        search = RelationshipSearch(at=at, supervisor_id="usr_a", status=Status.ACTIVE, valid=True)
        by_search = await repository.search(search, offset=0, limit=10)
        by_pair = await repository.find_active(supervisor_id="usr_a", student_id="usr_b", at=at)
        assert by_search.total == (by_pair is not None)
        return by_search.total

    just = timedelta(milliseconds=1)
    assert [await found(at) for at in (NOW - just, NOW, later - just, later)] == [0, 1, 1, 0]
    await repository.end_expired(supervisor_id="usr_a", student_id="usr_b", at=later)
    await repository.add(_relationship(valid_from=later))


async def test_an_audit_entry_s_end_is_set_once(store: Database) -> None:
    repository = AuditRepository(store)
    entry = AuditEntry(
        id="obs_1",
        at=NOW,
        observer_id="usr_a",
        observer_role=Role.SUPERVISOR,
        kind=AuditKind.OBSERVE,
        student_id="usr_b",
        session_id="ses_1",
        mode=Mode.LIVE,
    )
    await repository.add(entry)
    await repository.end("obs_1", at=NOW, reason="left")
    await repository.end("obs_1", at=NOW + timedelta(hours=1), reason="finished")
    found = await repository.search(AuditSearch(student_id="usr_b"), offset=0, limit=10)
    assert list(found.items) == [replace(entry, ended_at=NOW, reason="left")]


async def test_writes_wait_for_a_majority_and_the_journal(store: Database) -> None:
    concern = store.collections["audit"].write_concern.document
    assert concern["w"] == "majority"
    assert concern["j"] is True
