"""The caller's own record."""

from typing import Any

import pytest
from auth_builders import PASSWORD, Auth

from aula_auth.domain.family import Family
from aula_auth.storage.families import FamilyRepository

NEW_PASSWORD = "another good password"


async def test_me_is_the_caller(auth: Auth) -> None:
    ada = await auth.person("ada")
    assert (await ada.get("/api/auth/me")).json() == ada.user


async def test_display_name_is_changed_without_ado(auth: Auth) -> None:
    ada = await auth.person("ada")
    answer = await ada.patch("/api/auth/me", json={"displayName": "Countess"})
    assert answer.status_code == 200
    assert answer.json()["displayName"] == "Countess"
    assert (await ada.get("/api/auth/me")).json()["displayName"] == "Countess"


async def test_names_for_signing_in_take_the_password(auth: Auth) -> None:
    ada = await auth.person("ada")
    names = {"username": "countess", "email": "countess@example.org"}
    assert (await ada.patch("/api/auth/me", json=names)).status_code == 422
    wrong = {**names, "currentPassword": "wrong password"}
    assert (await ada.patch("/api/auth/me", json=wrong)).status_code == 422
    right = {**names, "currentPassword": PASSWORD}
    assert (await ada.patch("/api/auth/me", json=right)).status_code == 200
    assert (await auth.login("countess")).status_code == 200
    assert (await auth.login("ada")).status_code == 401


async def test_name_of_another_is_taken(auth: Auth) -> None:
    await auth.register("bob")
    ada = await auth.person("ada")
    body = {"email": "BOB@example.org", "currentPassword": PASSWORD}
    answer = await ada.patch("/api/auth/me", json=body)
    assert (answer.status_code, answer.json()["field"]) == (409, "email")


@pytest.mark.parametrize(
    "change", [{"role": "admin"}, {"tier": "pro"}, {"status": "active"}, {"teams": ["a"]}]
)
async def test_nobody_raises_themselves(auth: Auth, change: dict[str, Any]) -> None:
    ada = await auth.person("ada")
    assert (await ada.patch("/api/auth/me", json=change)).status_code == 422
    assert (await ada.get("/api/auth/me")).json() == ada.user


async def test_password_change_ends_the_other_sessions(auth: Auth) -> None:
    ada = await auth.person("ada")
    other = await auth.sign_in("ada")
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    assert (await ada.post("/api/auth/me/password", json=body)).status_code == 204
    assert (await ada.get("/api/auth/me")).status_code == 200
    assert (await auth.refresh(ada.refresh_token)).status_code == 200
    assert (await other.get("/api/auth/me")).status_code == 401
    assert (await auth.refresh(other.refresh_token)).status_code == 401
    assert (await auth.login("ada")).status_code == 401
    assert (await auth.login("ada", NEW_PASSWORD)).status_code == 200


async def test_sign_in_that_the_password_change_overtook_leaves_no_session(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await auth.person("ada")
    original = FamilyRepository.add

    async def overtaken(self: FamilyRepository, family: Family) -> None:
        body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
        assert (await ada.post("/api/auth/me/password", json=body)).status_code == 204
        await original(self, family)

    monkeypatch.setattr(FamilyRepository, "add", overtaken)
    assert (await auth.login("ada")).status_code == 401
    answer = await ada.get("/api/auth/me/sessions")
    assert answer.json()["pagination"]["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"currentPassword": "wrong password", "newPassword": NEW_PASSWORD},
        {"currentPassword": PASSWORD, "newPassword": "short"},
        {"currentPassword": PASSWORD, "newPassword": "x" * 129},
        {"newPassword": NEW_PASSWORD},
    ],
)
async def test_password_change_that_is_not_allowed_changes_nothing(
    auth: Auth, body: dict[str, str]
) -> None:
    ada = await auth.person("ada")
    assert (await ada.post("/api/auth/me/password", json=body)).status_code == 422
    assert (await auth.login("ada")).status_code == 200


async def test_password_cannot_be_guessed_with_a_stolen_access_token(auth: Auth) -> None:
    ada = await auth.person("ada")
    body = {"currentPassword": "wrong password", "newPassword": NEW_PASSWORD}
    statuses = [(await ada.post("/api/auth/me/password", json=body)).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]


async def test_services_are_nobody_here(auth: Auth) -> None:
    answer = await auth.http.get("/api/auth/me", headers=await auth.service_headers())
    assert answer.status_code == 403
