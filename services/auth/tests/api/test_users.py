"""People, as administrators and services see them."""

from typing import Any

import httpx
import pytest
from auth_builders import PASSWORD, Auth

from aula_auth.storage.users import UserRepository
from aula_common.security.principal import Role
from aula_common.testing import ManualClock


async def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [user["username"] for user in answer.json()["users"]]


async def test_admin_and_service_read_people_others_do_not(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    supervisor = await auth.person("sam", role=Role.SUPERVISOR)
    service = await auth.service_headers()
    for path in ("/api/auth/users", f"/api/auth/users/{ada.user['id']}"):
        assert (await admin.get(path)).status_code == 200
        assert (await auth.http.get(path, headers=service)).status_code == 200
        assert (await ada.get(path)).status_code == 403
        assert (await supervisor.get(path)).status_code == 403
        assert (await auth.http.get(path)).status_code == 401
    assert (await admin.get(f"/api/auth/users/{ada.user['id']}")).json() == ada.user


async def test_service_without_the_scope_reads_nobody(auth: Auth) -> None:
    headers = await auth.service_headers(
        client_id="accounting", client_secret="the-secret-of-accounting"
    )
    assert (await auth.http.get("/api/auth/users", headers=headers)).status_code == 403


async def test_services_change_nobody(auth: Auth) -> None:
    ada = await auth.person("ada")
    headers = await auth.service_headers()
    path = f"/api/auth/users/{ada.user['id']}"
    body = {"username": "bob", "email": "bob@example.org", "password": PASSWORD}
    answers = [
        await auth.http.post("/api/auth/users", json=body, headers=headers),
        await auth.http.patch(path, json={"role": "admin"}, headers=headers),
        await auth.http.post(f"{path}/revoke", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3


async def test_search_by_name_email_role_tier_and_page(auth: Auth) -> None:
    admin = await auth.admin()
    await auth.register("ada", displayName="Countess Lovelace")
    await auth.register("bob", email="bob@school.org")
    await auth.person("sam", role=Role.SUPERVISOR)

    async def found(**params: Any) -> list[str]:
        return await names(await admin.get("/api/auth/users", params=params))

    assert await found() == ["ada", "bob", "root", "sam"]
    assert await found(q="LOVE") == ["ada"]
    assert await found(q="school") == ["bob"]
    assert await found(name="bo") == ["bob"]
    assert await found(email="example.org") == ["ada", "root", "sam"]
    assert await found(role="supervisor") == ["sam"]
    assert await found(tier="pro") == []
    assert await found(status="active", limit=2, page=2) == ["root", "sam"]
    ids = [user["id"] for user in (await admin.get("/api/auth/users")).json()["users"][:2]]
    assert await found(id=ids) == ["ada", "bob"]
    page = (await admin.get("/api/auth/users", params={"limit": 3, "page": 9})).json()
    assert page == {
        "users": [],
        "pagination": {"total": 4, "page": 9, "limit": 3, "pages": 2},
    }


@pytest.mark.parametrize(
    "params",
    [
        {"role": "king"},
        {"role": "service"},
        {"tier": "gold"},
        {"status": "x"},
        {"q": ""},
        {"q": "x" * 101},
        {"q": "a\0"},
        {"id": "$ne"},
        {"page": 0},
        {"limit": 101},
        {"limit": "many"},
    ],
)
async def test_search_that_is_not_allowed_is_refused(auth: Auth, params: dict[str, Any]) -> None:
    admin = await auth.admin()
    assert (await admin.get("/api/auth/users", params=params)).status_code == 422


async def test_admin_creates_people_of_any_role(auth: Auth) -> None:
    admin = await auth.admin()
    body = {
        "username": "sam",
        "email": "sam@example.org",
        "password": PASSWORD,
        "role": "supervisor",
        "tier": "pro",
    }
    answer = await admin.post("/api/auth/users", json=body)
    assert answer.status_code == 201
    assert (answer.json()["role"], answer.json()["tier"]) == ("supervisor", "pro")
    assert (await auth.sign_in("sam")).user["role"] == "supervisor"
    assert (await admin.post("/api/auth/users", json=body)).status_code == 409
    service = {**body, "username": "other", "role": "service"}
    assert (await admin.post("/api/auth/users", json=service)).status_code == 422


async def test_changed_role_voids_the_tokens_and_keeps_the_session(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada", role=Role.ADMIN)
    path = f"/api/auth/users/{ada.user['id']}"
    answer = await admin.patch(path, json={"role": "supervisor", "tier": "enterprise"})
    assert answer.status_code == 200
    assert (answer.json()["role"], answer.json()["tier"]) == ("supervisor", "enterprise")
    assert (await ada.get("/api/auth/users")).status_code == 401
    refreshed = (await auth.refresh(ada.refresh_token)).json()
    headers = {"Authorization": f"Bearer {refreshed['accessToken']}"}
    assert (await auth.http.get("/api/auth/me", headers=headers)).status_code == 200
    assert (await auth.http.get("/api/auth/users", headers=headers)).status_code == 403


async def test_token_made_of_the_old_record_while_the_change_was_under_way_is_void(
    auth: Auth, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada", role=Role.ADMIN)
    original = UserRepository.change
    minted: list[str] = []

    async def slow(self: UserRepository, *arguments: Any, **options: Any) -> Any:
        if not minted:
            clock.advance(1)  # after the moment that the change carries, before it is visible
            minted.append((await auth.refresh(ada.refresh_token)).json()["accessToken"])
        return await original(self, *arguments, **options)

    monkeypatch.setattr(UserRepository, "change", slow)
    await admin.patch(f"/api/auth/users/{ada.user['id']}", json={"role": "enduser"})
    headers = {"Authorization": f"Bearer {minted[0]}"}
    assert (await auth.http.get("/api/auth/me", headers=headers)).status_code == 401


async def test_change_that_changes_nothing_voids_nothing(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    path = f"/api/auth/users/{ada.user['id']}"
    assert (await admin.patch(path, json={"role": "enduser"})).json() == ada.user
    assert (await admin.patch(path, json={})).json() == ada.user
    assert (await ada.get("/api/auth/me")).status_code == 200


async def test_disabled_person_is_out_at_once_and_in_again_when_enabled(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    path = f"/api/auth/users/{ada.user['id']}"
    assert (await admin.patch(path, json={"status": "disabled"})).status_code == 200
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await auth.refresh(ada.refresh_token)).status_code == 401
    assert (await auth.login("ada")).status_code == 401
    await admin.patch(path, json={"status": "active"})
    assert (await auth.refresh(ada.refresh_token)).status_code == 401
    again = await auth.sign_in("ada")
    assert (await again.get("/api/auth/me")).status_code == 200


async def test_revoke_ends_all_sessions_and_lets_them_sign_in_again(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    answer = await admin.post(f"/api/auth/users/{ada.user['id']}/revoke")
    assert answer.status_code == 204
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await auth.refresh(ada.refresh_token)).status_code == 401
    assert (await auth.login("ada")).status_code == 200


@pytest.mark.parametrize("change", [{"role": "enduser"}, {"status": "disabled"}])
async def test_admin_does_not_lock_themselves_out(auth: Auth, change: dict[str, str]) -> None:
    admin = await auth.admin()
    answer = await admin.patch(f"/api/auth/users/{admin.user['id']}", json=change)
    assert (answer.status_code, answer.json()["code"]) == (409, "own_account")
    assert (await admin.get("/api/auth/users")).status_code == 200


@pytest.mark.parametrize(
    "change", [{"role": "king"}, {"role": "service"}, {"role": 1}, {"password": "x"}, {"id": "y"}]
)
async def test_change_that_is_not_allowed_is_refused(auth: Auth, change: dict[str, Any]) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    answer = await admin.patch(f"/api/auth/users/{ada.user['id']}", json=change)
    assert answer.status_code == 422


async def test_people_change_nobody(auth: Auth) -> None:
    ada = await auth.person("ada")
    bob = await auth.person("bob", role=Role.SUPERVISOR)
    for caller in (ada, bob):
        path = f"/api/auth/users/{ada.user['id']}"
        assert (await caller.patch(path, json={"role": "admin"})).status_code == 403
        assert (await caller.post(f"{path}/revoke")).status_code == 403
        assert (await caller.post("/api/auth/users", json={})).status_code == 403


async def test_absent_people_are_404_on_every_verb(auth: Auth) -> None:
    admin = await auth.admin()
    path = "/api/auth/users/usr_absent"
    answers = [
        await admin.get(path),
        await admin.patch(path, json={"role": "admin"}),
        await admin.post(f"{path}/revoke"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
