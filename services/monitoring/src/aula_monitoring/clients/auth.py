"""auth's users."""

from collections.abc import Collection, Mapping
from typing import Any

from multidict import MultiDict

from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient
from aula_common.security.principal import Role
from aula_monitoring.domain.page import Slice
from aula_monitoring.domain.person import Person

_NOT_FOUND = 404
_BATCH = 100  # as many as auth takes in one question


class AuthPeople:
    """People by auth's API; needs the scope `users:read`."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def find(self, user_id: str) -> Person | None:
        """The person of that id. UnavailableError if auth does not answer."""
        answer = await self._client.request("GET", f"/api/auth/users/{user_id}", retry=True)
        if answer.status == _NOT_FOUND:
            return None
        if not answer.ok:
            raise UnavailableError("auth")
        return _person(answer.body)

    async def find_many(self, ids: Collection[str]) -> Mapping[str, Person]:
        """Those whom auth knows, by id. UnavailableError if auth does not answer."""
        return {person.id: person for person in await self._find_among(ids)}

    async def search(
        self, text: str, *, among: Collection[str] | None, page: int, limit: int
    ) -> Slice[Person]:
        """People whose names or addresses hold the text, by username; with `among` only those.

        UnavailableError if auth does not answer.
        """
        if among is None:
            return await self._ask([("q", text)], page=page, limit=limit)
        found = sorted(await self._find_among(among, text), key=lambda person: person.username)
        return Slice(found[(page - 1) * limit : page * limit], len(found))

    async def _find_among(self, ids: Collection[str], text: str | None = None) -> list[Person]:
        ordered = sorted(ids)
        found: list[Person] = []
        for start in range(0, len(ordered), _BATCH):
            query = [("id", user_id) for user_id in ordered[start : start + _BATCH]]
            if text is not None:
                query.append(("q", text))
            found += (await self._ask(query, page=1, limit=_BATCH)).items
        return found

    async def _ask(self, query: list[tuple[str, str]], *, page: int, limit: int) -> Slice[Person]:
        answer = await self._client.request(
            "GET",
            "/api/auth/users",
            params=MultiDict([*query, ("page", str(page)), ("limit", str(limit))]),
            retry=True,
        )
        if not answer.ok:
            raise UnavailableError("auth")
        people = [_person(user) for user in answer.body["users"]]
        return Slice(people, int(answer.body["pagination"]["total"]))


def _person(user: Mapping[str, Any]) -> Person:
    return Person(
        id=user["id"],
        username=user["username"],
        role=Role(user["role"]),
        display_name=user.get("displayName"),
    )
