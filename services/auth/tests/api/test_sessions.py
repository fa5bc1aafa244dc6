"""Signing out, and the list of signed-in devices."""

import pytest
from auth_builders import Auth, SignedIn


async def sessions_of(person: SignedIn) -> list[dict[str, object]]:
    answer = await person.get("/api/auth/me/sessions")
    assert answer.status_code == 200
    sessions: list[dict[str, object]] = answer.json()["sessions"]
    return sessions


async def test_logout_ends_this_session_and_its_tokens_at_once(auth: Auth) -> None:
    ada = await auth.person("ada")
    other = await auth.sign_in("ada")
    assert (await ada.post("/api/auth/logout")).status_code == 204
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await auth.refresh(ada.refresh_token)).status_code == 401
    assert (await other.get("/api/auth/me")).status_code == 200
    assert (await auth.refresh(other.refresh_token)).status_code == 200


async def test_logout_all_ends_every_session_and_token(auth: Auth) -> None:
    ada = await auth.person("ada")
    other = await auth.sign_in("ada")
    bob = await auth.person("bob")
    assert (await ada.post("/api/auth/logout-all")).status_code == 204
    for session in (ada, other):
        assert (await session.get("/api/auth/me")).status_code == 401
        assert (await auth.refresh(session.refresh_token)).status_code == 401
    assert (await bob.get("/api/auth/me")).status_code == 200


async def test_sign_in_right_after_logout_all_is_good(auth: Auth) -> None:
    ada = await auth.person("ada")
    await ada.post("/api/auth/logout-all")
    again = await auth.sign_in("ada")  # at the very same moment of the held clock
    assert (await again.get("/api/auth/me")).status_code == 200
    assert (await auth.refresh(again.refresh_token)).status_code == 200
    assert len(await sessions_of(again)) == 1


async def test_devices_are_listed_with_what_they_said_of_themselves(auth: Auth) -> None:
    ada = await auth.person("ada")
    async with auth.client_at("198.51.100.9") as phone:
        await phone.post(
            "/api/auth/login",
            json={"username": "ada", "password": "correct horse battery"},
            headers={"User-Agent": "phone/1.0" + "x" * 300},
        )
    sessions = {session["address"]: session for session in await sessions_of(ada)}
    assert set(sessions) == {"192.0.2.1", "198.51.100.9"}
    assert sessions["192.0.2.1"]["current"]
    assert not sessions["198.51.100.9"]["current"]
    agent = sessions["198.51.100.9"]["userAgent"]
    assert isinstance(agent, str)
    assert agent.startswith("phone/1.0")
    assert len(agent) == 256


async def test_device_can_be_signed_out_from_another(auth: Auth) -> None:
    ada = await auth.person("ada")
    phone = await auth.sign_in("ada")
    (other,) = [s for s in await sessions_of(ada) if not s["current"]]
    answer = await ada.request("DELETE", f"/api/auth/me/sessions/{other['id']}")
    assert answer.status_code == 204
    assert (await phone.get("/api/auth/me")).status_code == 401
    assert (await auth.refresh(phone.refresh_token)).status_code == 401
    assert len(await sessions_of(ada)) == 1


async def test_foreign_and_absent_sessions_answer_alike(auth: Auth) -> None:
    ada = await auth.person("ada")
    bob = await auth.person("bob")
    foreign = (await sessions_of(bob))[0]["id"]
    answers = [
        await auth.http.delete(
            f"/api/auth/me/sessions/{session_id}", headers={**ada.headers, "X-Request-Id": "same"}
        )
        for session_id in (foreign, "fam_absent", "%00", "$ne")
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({answer.content for answer in answers}) == 1
    assert (await bob.get("/api/auth/me")).status_code == 200


async def test_list_of_sessions_is_cut_into_pages(auth: Auth) -> None:
    ada = await auth.person("ada")
    for _ in range(4):
        await auth.sign_in("ada")
    answer = await ada.get("/api/auth/me/sessions", params={"page": 2, "limit": 2})
    assert len(answer.json()["sessions"]) == 2
    assert answer.json()["pagination"] == {"total": 5, "page": 2, "limit": 2, "pages": 3}


@pytest.mark.parametrize("path", ["/api/auth/logout", "/api/auth/logout-all"])
async def test_services_have_no_session_to_end(auth: Auth, path: str) -> None:
    answer = await auth.http.post(path, headers=await auth.service_headers())
    assert answer.status_code == 403
