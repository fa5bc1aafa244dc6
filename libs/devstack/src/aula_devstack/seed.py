"""Makes the demo people over the public API, through the gateway. Again, it changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from aula_devstack.errors import SeedError
from aula_devstack.people import CREDITS_EACH, DemoPeople, DemoPerson

EXPIRY = timedelta(days=365)
TIMEOUT_SECONDS = 15.0


def seed(*, url: str, people: DemoPeople, create_admin: Callable[[DemoPerson], object]) -> None:
    """Sign everybody up, make sam ada's supervisor, give the students credits.

    `create_admin` makes the first administrator, which no API can. Raises SeedError.
    """
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        Seeding(client=client, people=people, create_admin=create_admin).run()


class Seeding:
    """One run of the seeding."""

    def __init__(
        self,
        *,
        client: httpx.Client,
        people: DemoPeople,
        create_admin: Callable[[DemoPerson], object],
    ) -> None:
        self._client = client
        self._people = people
        self._create_admin = create_admin
        self._admin_token = ""

    def run(self) -> None:
        """Look at each thing, and make it if it is not there."""
        people = self._people
        admin = self._sign_in(people.admin)
        if admin is None:
            self._create_admin(people.admin)
            admin = self._sign_in(people.admin)
        if admin is None:
            raise SeedError(request="sign-in of admin", status=401, body="refused after creation")
        self._admin_token = admin["accessToken"]
        sam, ada, ben = (self._user(person) for person in (people.sam, people.ada, people.ben))
        if sam["role"] != people.sam.role:
            self._call("PATCH", f"/api/auth/users/{sam['id']}", {"role": people.sam.role})
        self._relate(supervisor_id=sam["id"], student_id=ada["id"])
        for student in (ada, ben):
            self._give_credits(student["id"])

    def _sign_in(self, person: DemoPerson) -> dict[str, Any] | None:
        answer = self._client.post(
            "/api/auth/login", json={"username": person.username, "password": person.password}
        )
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return None
        return _body(answer)

    def _user(self, person: DemoPerson) -> dict[str, Any]:
        """The user as auth has it, registered now if need be."""
        known = self._call("GET", "/api/auth/users", params={"q": person.username})["users"]
        for user in known:
            if user["username"] == person.username:
                return dict(user)
        answer = self._client.post(
            "/api/auth/register",
            json={
                "username": person.username,
                "email": person.email,
                "password": person.password,
            },
        )
        return _body(answer)

    def _relate(self, *, supervisor_id: str, student_id: str) -> None:
        existing = self._call(
            "GET",
            "/api/monitoring/relationships",
            params={"supervisorId": supervisor_id, "limit": "100"},
        )["relationships"]
        if not any(row["studentId"] == student_id for row in existing):
            self._call(
                "POST",
                "/api/monitoring/relationships",
                {"supervisorId": supervisor_id, "studentId": student_id, "mode": "live"},
            )

    def _give_credits(self, user_id: str) -> None:
        # every allocation ever made: one that is used up is not given again
        given = self._call(
            "GET", "/api/accounting/credits/allocations", params={"userId": user_id}
        )["allocations"]
        if given:
            return
        self._call(
            "POST",
            "/api/accounting/credits/allocate",
            {
                "userId": user_id,
                "credits": CREDITS_EACH,
                "expiresAt": (datetime.now(UTC) + EXPIRY).isoformat(timespec="seconds"),
                "note": "demo credits",
            },
            headers={"Idempotency-Key": f"demo-credits-{user_id}"},
        )

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request as the administrator."""
        answer = self._client.request(
            method,
            path,
            json=body,
            params=params,
            headers={"Authorization": f"Bearer {self._admin_token}", **(headers or {})},
        )
        return _body(answer)


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        request = f"{answer.request.method} {answer.request.url.path}"
        raise SeedError(request=request, status=answer.status_code, body=answer.text[:500])
    return dict(answer.json()) if answer.content else {}
