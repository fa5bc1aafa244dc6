"""The audit of access."""

from auth_builders import PASSWORD, Auth


async def test_what_happened_is_listed_newest_first_for_admins_alone(auth: Auth) -> None:
    admin = await auth.admin()
    await auth.register("ada")
    await auth.login("ada", "wrong password")
    ada = await auth.sign_in("ada")
    path = f"/api/auth/users/{ada.user['id']}"
    await admin.patch(path, json={"role": "supervisor"})
    answer = await admin.get("/api/auth/audit", params={"userId": ada.user["id"]})
    assert answer.status_code == 200
    events = answer.json()["events"]
    kinds = {event["kind"] for event in events}
    assert kinds == {"registered", "sign_in_failed", "signed_in", "access_changed"}
    (change,) = [event for event in events if event["kind"] == "access_changed"]
    assert change["actorId"] == admin.user["id"]
    assert change["details"] == {"role": "enduser -> supervisor"}
    (failed,) = [event for event in events if event["kind"] == "sign_in_failed"]
    assert failed["address"] == "192.0.2.1"
    assert "password" not in answer.text.replace("password_changed", "")
    assert PASSWORD not in answer.text
    assert (await ada.get("/api/auth/audit")).status_code == 401
    ada = await auth.sign_in("ada")
    assert (await ada.get("/api/auth/audit")).status_code == 403


async def test_entries_are_filtered_and_cut_into_pages(auth: Auth) -> None:
    admin = await auth.admin()
    for _ in range(3):
        await auth.sign_in("root")
    params = {"kind": "signed_in", "actorId": admin.user["id"], "limit": 3, "page": 2}
    answer = await admin.get("/api/auth/audit", params=params)
    assert len(answer.json()["events"]) == 1
    assert answer.json()["pagination"] == {"total": 4, "page": 2, "limit": 3, "pages": 2}
    assert (await admin.get("/api/auth/audit", params={"kind": "x"})).status_code == 422


async def test_reuse_of_a_refresh_token_is_recorded(auth: Auth) -> None:
    admin = await auth.admin()
    ada = await auth.person("ada")
    child = (await auth.refresh(ada.refresh_token)).json()["refreshToken"]
    await auth.refresh(child)
    await auth.refresh(ada.refresh_token)
    answer = await admin.get("/api/auth/audit", params={"kind": "token_reused"})
    assert [event["userId"] for event in answer.json()["events"]] == [ada.user["id"]]
