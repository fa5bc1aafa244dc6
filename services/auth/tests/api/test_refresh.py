"""Refreshing: rotation, reuse, two tabs, expiry."""

import asyncio

import httpx
import pytest
from auth_builders import Auth, SignedIn

from aula_common.testing import ManualClock


async def live_leaves(auth: Auth, tokens: set[str]) -> list[str]:
    """Those of the tokens whose digest is the one that their family holds."""
    refresh_tokens = auth.context.sessions._refresh_tokens
    families = auth.context.sessions._families
    live = []
    for text in tokens:
        token = refresh_tokens.recognise(text)
        assert token is not None
        family = await families.find(token.family_id)
        if family is not None and family.ended_at is None and family.digest == token.digest:
            live.append(text)
    return live


def refused(answer: httpx.Response) -> bool:
    return answer.status_code == 401 and answer.json()["code"] == "invalid_refresh_token"


async def test_refresh_gives_a_new_pair_of_the_same_session(auth: Auth) -> None:
    ada = await auth.person("ada")
    answer = await auth.refresh(ada.refresh_token)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["refreshToken"] != ada.refresh_token
    assert body["accessToken"] != ada.access_token
    assert body["user"] == ada.user
    headers = {"Authorization": f"Bearer {body['accessToken']}"}
    sessions = (await auth.http.get("/api/auth/me/sessions", headers=headers)).json()["sessions"]
    assert len(sessions) == 1


async def test_parent_within_ten_seconds_gets_the_same_live_token(
    auth: Auth, clock: ManualClock
) -> None:
    ada = await auth.person("ada")
    first = (await auth.refresh(ada.refresh_token)).json()
    clock.advance(10)
    second = (await auth.refresh(ada.refresh_token)).json()
    assert second["refreshToken"] == first["refreshToken"]
    assert (await auth.refresh(first["refreshToken"])).status_code == 200


async def test_parent_after_ten_seconds_ends_the_family(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    child = (await auth.refresh(ada.refresh_token)).json()
    clock.advance(10.1)
    assert refused(await auth.refresh(ada.refresh_token))
    assert refused(await auth.refresh(child["refreshToken"]))
    assert await live_leaves(auth, {ada.refresh_token, child["refreshToken"]}) == []
    headers = {"Authorization": f"Bearer {child['accessToken']}"}
    assert (await auth.http.get("/api/auth/me", headers=headers)).status_code == 401


async def test_grandparent_ends_the_family_at_once(auth: Auth) -> None:
    ada = await auth.person("ada")
    child = (await auth.refresh(ada.refresh_token)).json()["refreshToken"]
    grandchild = (await auth.refresh(child)).json()["refreshToken"]
    assert refused(await auth.refresh(ada.refresh_token))
    assert refused(await auth.refresh(grandchild))


async def test_very_old_token_still_ends_the_family(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    token = ada.refresh_token
    for _ in range(20):
        clock.advance(60)
        token = (await auth.refresh(token)).json()["refreshToken"]
    assert refused(await auth.refresh(ada.refresh_token))
    assert refused(await auth.refresh(token))


async def test_reuse_ends_one_family_and_no_other(auth: Auth, clock: ManualClock) -> None:
    phone = await auth.person("ada")
    laptop = await auth.sign_in("ada")
    await auth.refresh(phone.refresh_token)
    clock.advance(11)
    assert refused(await auth.refresh(phone.refresh_token))
    assert (await auth.refresh(laptop.refresh_token)).status_code == 200


@pytest.mark.parametrize("rounds", [1, 3])
async def test_twenty_refreshes_at_once_leave_one_live_token(auth: Auth, rounds: int) -> None:
    ada = await auth.person("ada")
    token = ada.refresh_token
    for _ in range(rounds):
        answers = await asyncio.gather(*(auth.refresh(token) for _ in range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20
        children = {answer.json()["refreshToken"] for answer in answers}
        assert len(children) == 1
        assert len(await live_leaves(auth, {token, *children})) == 1
        token = children.pop()
    assert (await auth.refresh(token)).status_code == 200


async def test_replay_beside_the_owners_refreshes_leaves_no_live_token(
    auth: Auth, clock: ManualClock
) -> None:
    ada = await auth.person("ada")
    child = (await auth.refresh(ada.refresh_token)).json()["refreshToken"]
    clock.advance(11)
    answers = await asyncio.gather(
        *(auth.refresh(token) for token in [child, ada.refresh_token] * 5)
    )
    seen = {ada.refresh_token, child}
    seen |= {a.json()["refreshToken"] for a in answers if a.status_code == 200}
    assert await live_leaves(auth, seen) == []
    assert any(refused(answer) for answer in answers)


async def test_rubbish_ends_nothing(auth: Auth) -> None:
    ada = await auth.person("ada")
    family, generation, secret, tag = ada.refresh_token.split(".")
    forged = [
        "rubbish",
        f"{family}.{generation}.{'A' * 43}.{tag}",
        f"{family}.2.{secret}.{tag}",
        f"{family}.{generation}.{secret}.{'A' * 22}",
        ada.access_token[:500],
        ada.refresh_token + " ",
    ]
    for text in forged:
        assert refused(await auth.refresh(text))
    assert (await auth.refresh(ada.refresh_token)).status_code == 200


async def test_refusals_are_alike(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    bob = await auth.person("bob")
    await bob.post("/api/auth/logout")
    await auth.refresh(ada.refresh_token)
    clock.advance(11)
    bodies = set()
    for text in ("rubbish", ada.refresh_token, bob.refresh_token):
        answer = await auth.http.post(
            "/api/auth/refresh", json={"refreshToken": text}, headers={"X-Request-Id": "same"}
        )
        bodies.add(answer.content)
    assert len(bodies) == 1


async def test_idle_session_ends_by_itself(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    clock.advance(14 * 86_400)
    assert refused(await auth.refresh(ada.refresh_token))


async def test_session_ends_absolutely_however_often_it_is_used(
    auth: Auth, clock: ManualClock
) -> None:
    ada = await auth.person("ada")
    token = ada.refresh_token
    for _ in range(8):
        clock.advance(10 * 86_400)
        token = (await auth.refresh(token)).json()["refreshToken"]
    clock.advance(10 * 86_400)
    assert refused(await auth.refresh(token))


async def test_refresh_carries_the_role_of_now(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    await admin.patch(f"/api/auth/users/{ada.user['id']}", json={"role": "supervisor"})
    answer = await auth.refresh(ada.refresh_token)
    assert answer.json()["user"]["role"] == "supervisor"
    fresh = SignedIn(
        http=auth.http,
        user=answer.json()["user"],
        access_token=answer.json()["accessToken"],
        refresh_token=answer.json()["refreshToken"],
    )
    assert (await fresh.get("/api/auth/me")).json()["role"] == "supervisor"


@pytest.mark.parametrize("token", [{"$ne": None}, 1, None, "", "x" * 513, "a\0b", ["a"]])
async def test_token_that_is_no_fit_text_is_refused(auth: Auth, token: object) -> None:
    answer = await auth.http.post("/api/auth/refresh", json={"refreshToken": token})
    assert answer.status_code == 422
