"""What auth has withdrawn before its time, polled by every verifier."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from aula_common.clock import Clock
from aula_common.logging import get_logger
from aula_common.security.principal import Principal

_log = get_logger(__name__)


class RevocationList:
    """The withdrawn families (`sid`), people (`sub`) and tokens (`jti`).

    `fetch(since)` answers auth's document `{revocations: [{kind, id, at, expiresAt}], next}`;
    a person's entry withdraws what was issued up to `at`. Entries leave when no token that
    they concern can still live.
    """

    def __init__(
        self, fetch: Callable[[str | None], Awaitable[Mapping[str, Any]]], *, clock: Clock
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cursor: str | None = None
        self._entries: dict[tuple[str, str], tuple[datetime, datetime]] = {}

    def revoked(self, principal: Principal) -> bool:
        """Whether the principal's token was withdrawn."""
        if not self._entries:
            return False
        if ("token", principal.token_id) in self._entries:
            return True
        if principal.session_id and ("family", principal.session_id) in self._entries:
            return True
        person = self._entries.get(("user", principal.id))
        return person is not None and principal.issued_at <= person[0]

    async def poll(self) -> None:
        """Fetch what is new since the last poll. UnavailableError if auth is away."""
        document = await self._fetch(self._cursor)
        entries = [
            ((entry["kind"], entry["id"]), _moment(entry["at"]), _moment(entry["expiresAt"]))
            for entry in document["revocations"]
        ]
        for key, at, expires_at in entries:
            known = self._entries.get(key, (at, expires_at))
            self._entries[key] = (max(at, known[0]), max(expires_at, known[1]))
        self._cursor = document["next"]
        now = self._clock.now()
        self._entries = {key: value for key, value in self._entries.items() if value[1] > now}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a moment without its time zone"
        raise ValueError(msg)
    return moment
