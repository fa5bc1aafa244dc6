"""The revocation feed, read as other services read it."""

from collections.abc import Mapping
from typing import Any

import pytest
from auth_builders import Auth, SignedIn

from aula_common.security.keys import RemoteKeys
from aula_common.security.revocations import RevocationList
from aula_common.security.verifier import TokenVerifier
from aula_common.testing import ManualClock

FEED = "/internal/revocations"


async def fetch(auth: Auth, since: str | None = None) -> dict[str, Any]:
    params = {"since": since} if since else {}
    answer = await auth.http.get(FEED, params=params, headers=await auth.service_headers())
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def listed(auth: Auth, since: str | None = None) -> set[tuple[str, str]]:
    document = await fetch(auth, since)
    return {(entry["kind"], entry["id"]) for entry in document["revocations"]}


async def family_of(person: SignedIn) -> str:
    (session,) = [
        session
        for session in (await person.get("/api/auth/me/sessions")).json()["sessions"]
        if session["current"]
    ]
    return str(session["id"])


async def test_only_services_with_the_scope_read_the_feed(auth: Auth) -> None:
    admin = await auth.admin()
    assert (await admin.get(FEED)).status_code == 403
    assert (await auth.http.get(FEED)).status_code == 401
    headers = await auth.service_headers(scope="users:read")
    assert (await auth.http.get(FEED, headers=headers)).status_code == 403


async def test_every_withdrawal_is_listed(auth: Auth) -> None:
    admin = await auth.admin()
    assert await listed(auth) == set()
    out, everywhere, promoted, disabled, revoked = [
        await auth.person(name) for name in ("ann", "bob", "cat", "dan", "eve")
    ]
    family = await family_of(out)
    await out.post("/api/auth/logout")
    await everywhere.post("/api/auth/logout-all")
    await admin.patch(f"/api/auth/users/{promoted.user['id']}", json={"role": "supervisor"})
    await admin.patch(f"/api/auth/users/{disabled.user['id']}", json={"status": "disabled"})
    await admin.post(f"/api/auth/users/{revoked.user['id']}/revoke")
    entries = await listed(auth)
    assert ("family", family) in entries
    people = {subject for kind, subject in entries if kind == "user"}
    assert people == {person.user["id"] for person in (everywhere, promoted, disabled, revoked)}


async def test_entries_stay_as_long_as_a_token_could_live(auth: Auth, clock: ManualClock) -> None:
    ada = await auth.person("ada")
    await ada.post("/api/auth/logout-all")
    clock.advance(900)
    assert await listed(auth)
    clock.advance(61)
    assert not await listed(auth)


@pytest.mark.parametrize("since", ["yesterday", "2026-01-01T00:00:00", "$gt", ""])
async def test_cursor_that_is_no_moment_is_refused(auth: Auth, since: str) -> None:
    headers = await auth.service_headers()
    answer = await auth.http.get(FEED, params={"since": since}, headers=headers)
    assert answer.status_code == 422


async def verifier_of_another_service(
    auth: Auth, clock: ManualClock
) -> tuple[TokenVerifier, RevocationList]:
    async def fetch_keys() -> Mapping[str, Any]:
        keys: Mapping[str, Any] = (await auth.http.get("/api/auth/.well-known/jwks.json")).json()
        return keys

    revocations = RevocationList(lambda since: fetch(auth, since), clock=clock)
    verifier = TokenVerifier(
        audience="chat",
        issuer="aula",
        clock=clock,
        keys=RemoteKeys(fetch_keys, clock=clock),
        revocations=revocations,
    )
    return verifier, revocations


async def test_poller_of_another_service_learns_of_a_sign_out_and_of_nothing_else(
    auth: Auth, clock: ManualClock
) -> None:
    ada, bob = await auth.person("ada"), await auth.person("bob")
    verifier, revocations = await verifier_of_another_service(auth, clock)
    await revocations.poll()
    assert (await verifier.verify(ada.access_token)).id == ada.user["id"]
    clock.advance(20)
    await ada.post("/api/auth/logout")
    await revocations.poll()
    assert not verifier.is_current(await _principal(auth, ada, clock))
    assert (await verifier.verify(bob.access_token)).id == bob.user["id"]


async def test_token_made_at_the_moment_of_the_change_is_good_and_one_before_is_not(
    auth: Auth, clock: ManualClock
) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    await admin.patch(f"/api/auth/users/{ada.user['id']}", json={"role": "supervisor"})
    again = await auth.sign_in("ada")  # at the very same moment of the held clock
    _, revocations = await verifier_of_another_service(auth, clock)
    await revocations.poll()
    assert revocations.revoked(await _principal(auth, ada, clock))
    assert not revocations.revoked(await _principal(auth, again, clock))


async def _principal(auth: Auth, person: SignedIn, clock: ManualClock) -> Any:
    verifier, _ = await verifier_of_another_service(auth, clock)
    return await verifier.verify(person.access_token)
