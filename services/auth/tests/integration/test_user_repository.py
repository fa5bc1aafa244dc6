"""Users in the real database: unique names, search, voids."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aula_auth.domain.errors import NameTakenError
from aula_auth.domain.user import Tier, User, UserChanges, UserSearch, UserStatus
from aula_auth.storage.database import Database
from aula_auth.storage.users import UserRepository
from aula_common.ids import new_id
from aula_common.security.principal import Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_user(username: str, **overrides: object) -> User:
    fields: dict[str, object] = {
        "id": new_id("usr"),
        "username": username,
        "email": f"{username}@example.org",
        "display_name": None,
        "role": Role.ENDUSER,
        "tier": Tier.BASIC,
        "status": UserStatus.ACTIVE,
        "created_at": NOW,
        "updated_at": NOW,
        **overrides,
    }
    return User(**fields)  # type: ignore[arg-type]  # overrides are checked by what they test


@pytest.fixture
def users(database: Database) -> UserRepository:
    return UserRepository(database)


async def test_user_comes_back_as_stored(users: UserRepository) -> None:
    user = make_user("Ada", display_name="Ada L.", tier=Tier.PRO, role=Role.SUPERVISOR)
    await users.add(user, password_hash="hash")
    assert await users.find(user.id) == user
    assert await users.find("usr_absent") is None


@pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.org", "ADA@EXAMPLE.ORG"])
async def test_login_is_found_by_either_name_in_any_case(users: UserRepository, name: str) -> None:
    user = make_user("Ada")
    await users.add(user, password_hash="hash")
    assert await users.find_login(name) == (user, "hash")


async def test_of_twenty_at_once_with_one_address_in_many_cases_one_is_stored(
    users: UserRepository,
) -> None:
    addresses = [
        "".join(c.upper() if n >> i & 1 else c for i, c in enumerate("abcde")) for n in range(20)
    ]
    results = await asyncio.gather(
        *(
            users.add(make_user(f"user{n}", email=f"{address}@x.org"), password_hash="h")
            for n, address in enumerate(addresses)
        ),
        return_exceptions=True,
    )
    taken = [result for result in results if isinstance(result, NameTakenError)]
    assert [error.field for error in taken] == ["email"] * 19
    assert (await users.search(UserSearch(), offset=0, limit=100)).total == 1


async def test_username_of_another_is_refused_at_change_too(users: UserRepository) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    for user in (ada, bob):
        await users.add(user, password_hash="h")
    with pytest.raises(NameTakenError) as refused:
        await users.change(bob.id, UserChanges(username="ADA"), at=NOW)
    assert refused.value.field == "username"


async def test_search_matches_parts_of_names_and_filters(users: UserRepository) -> None:
    people = [
        make_user("ada", display_name="Countess Lovelace", role=Role.ADMIN),
        make_user("bob", tier=Tier.PRO),
        make_user("carol", email="carol@lovelace.org", status=UserStatus.DISABLED),
    ]
    for user in people:
        await users.add(user, password_hash="h")
    ada, bob, carol = people

    async def found(**search: object) -> list[str]:
        wanted = UserSearch(**search)  # type: ignore[arg-type]  # as the cases below name them
        return [user.username for user in (await users.search(wanted, offset=0, limit=10)).items]

    assert await found() == ["ada", "bob", "carol"]
    assert await found(text="LOVELACE") == ["ada", "carol"]
    assert await found(name="lovelace") == ["ada"]
    assert await found(email="lovelace") == ["carol"]
    assert await found(role=Role.ADMIN) == ["ada"]
    assert await found(tier=Tier.PRO) == ["bob"]
    assert await found(status=UserStatus.DISABLED) == ["carol"]
    assert await found(ids=(bob.id, carol.id, "usr_absent")) == ["bob", "carol"]
    assert await found(text=".*") == []
    assert await found(text="lovelace", role=Role.ENDUSER) == ["carol"]
    assert ada.display_name == "Countess Lovelace"


async def test_search_is_cut_into_pages(users: UserRepository) -> None:
    for name in ("eve", "ada", "dan", "bob", "cat"):
        await users.add(make_user(name), password_hash="h")
    page = await users.search(UserSearch(), offset=2, limit=2)
    assert ([user.username for user in page.items], page.total) == (["cat", "dan"], 5)
    assert (await users.search(UserSearch(), offset=10, limit=2)).items == []


async def test_void_never_moves_back(users: UserRepository) -> None:
    user = make_user("ada")
    await users.add(user, password_hash="h")
    later = NOW + timedelta(seconds=5)
    await users.change(user.id, UserChanges(), at=later, void_tokens=True)
    changed = await users.change(user.id, UserChanges(role=Role.ADMIN), at=NOW, void_tokens=True)
    assert changed is not None
    assert (changed.role, changed.tokens_void_until) == (Role.ADMIN, later)
    assert changed.sessions_void_until is None


async def test_of_two_password_changes_from_one_hash_one_wins(users: UserRepository) -> None:
    user = make_user("ada")
    await users.add(user, password_hash="old")
    won = await asyncio.gather(
        *(
            users.change_password(user.id, old_hash="old", new_hash=new, at=NOW)
            for new in ("one", "two")
        )
    )
    assert sorted(won) == [False, True]
