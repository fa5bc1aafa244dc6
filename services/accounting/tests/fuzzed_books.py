"""Books that hold something of each kind, for requests that were made up."""

import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from accounting_builders import HAIKU, OPUS, SONNET
from accounting_process import AccountingProcess
from openapi_conformance import Caller, Conformance, whole_numbers

from aula_common.security.principal import Role

_SCOPES = ("streaming:write", "streaming:read", "credits:read", "rates:read", "version:read")
_RICH = [f"usr_rich_{number}" for number in range(3)]  # the first is the caller `user`
_POOR = "usr_poor"
_CAPPED = "usr_capped"
_ACTIONS = ("heartbeat", "finalize", "abort")
_AS_CSV = ("GET /api/accounting/usage", "GET /api/accounting/usage/summary")
_KEY = "Idempotency-Key"
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")  # for an identifier, of a model too


@dataclass(frozen=True, kw_only=True)
class Books:
    """A running service whose books hold something, and who sends it requests."""

    service: AccountingProcess
    conformance: Conformance
    known: Mapping[str, Sequence[str]]
    numbers: Iterator[int]

    def send(self, case: Any) -> None:
        """Send the request; what it names is mostly there, and its key mostly a new one."""
        if isinstance(case.body, dict):
            case.body = self._known(whole_numbers(case.body), case.path)
        if case.path_parameters:
            case.path_parameters = self._known(case.path_parameters, case.path)
        if case.query:
            case.query = self._known(case.query, case.path)
        key = case.headers.get(_KEY) if case.headers else None
        if isinstance(key, str) and zlib.crc32(key.encode()) % 4:
            case.headers[_KEY] = f"key_{next(self.numbers)}"
        self.conformance.send(case)

    def _known(self, named: Mapping[str, Any], path: str) -> dict[str, Any]:
        told = dict(named)
        mark = zlib.crc32(repr(sorted(told.items())).encode())  # the same request, the same choice
        for name in ("userId", *told):
            if name == "sessionId":
                choice = self._sessions(told.get("userId"), path.rpartition("/")[2])
            else:
                choice = self.known.get(name, ())
            if name in told:
                told[name] = _one_of(choice, told[name], mark=mark + len(name))
        return told

    def _sessions(self, user_id: object, action: str) -> Sequence[str]:
        if action == "initialize":
            return [f"str_{next(self.numbers)}"]
        of_user = f"str_{action}_{user_id}"
        return [of_user] if of_user in self.known["sessionId"] else self.known["sessionId"]


class Walker:
    """Prepares requests of walks, each by a user of its own who has credits."""

    def __init__(self, books: Books, *, first: Collection[str]) -> None:
        self._books = books
        self._first = first  # the operations that a walk begins with
        self._user = ""

    def begin(self) -> None:
        """Begin the next walk."""
        self._user = f"usr_walk_{next(self._books.numbers)}"
        admin = self._books.service.person("usr_admin", Role.ADMIN)
        grant = {"userId": self._user, "credits": 10**12}
        self._books.service.post("/credits/allocate", grant, admin)

    def prepare(self, case: Any) -> None:
        """Let a first request name what is there and new; the others are led to what is."""
        case.body = whole_numbers(case.body)
        if case.operation.label not in self._first:
            if isinstance(case.body, dict) and case.body.get("modelId") is not None:
                case.body["modelId"] = SONNET
            return
        new = str(next(self._books.numbers))
        named = {"userId": self._user, "sessionId": f"str_walk_{new}", "modelId": SONNET}
        for name in named.keys() & case.body.keys():
            if case.body[name] is not None:
                case.body[name] = named[name]
        case.body.pop("fallbackModelIds", None)
        if _KEY in case.headers:
            case.headers[_KEY] = f"key_walk_{new}"


def _one_of(choice: Sequence[str], value: Any, *, mark: int) -> Any:
    if isinstance(value, list):
        return [_one_of(choice, member, mark=mark + place) for place, member in enumerate(value)]
    if not isinstance(value, str) or not _VALID.fullmatch(value):
        return value
    return [*choice, *choice, value][mark % (2 * len(choice) + 1)]


def open_books(
    service: AccountingProcess,
    *,
    accepts: Mapping[str, Collection[str]],
    beyond_schema: Mapping[str, Collection[str]],
) -> Books:
    """Credits, running streams for each action, a user without credits and one without quota."""
    admin = service.person("usr_admin", Role.ADMIN)
    chat = service.service(*_SCOPES)
    tokens = {"modelId": SONNET, "inputTokens": 500, "maxOutputTokens": 500}

    def give(user_id: str, amount: int) -> str:
        given = service.post("/credits/allocate", {"userId": user_id, "credits": amount}, admin)
        allocation_id: str = given["allocations"][0]["allocationId"]
        return allocation_id

    def start(user_id: str, session_id: str) -> str:
        body = {"sessionId": session_id, "userId": user_id, **tokens}
        service.post("/streaming/initialize", body, chat)
        return session_id

    for user in _RICH:
        give(user, 10**12)
    give(_POOR, 5)
    sessions = [start(user, f"str_{action}_{user}") for action in _ACTIONS for user in _RICH]
    start(_POOR, "str_poor")
    quota = {"scope": "user", "subjectId": _CAPPED, "metric": "messages", "period": "day"}
    service.put("/quotas", {"quotas": [{**quota, "limit": 0}]}, admin)
    callers = [
        Caller(name="admin", headers=admin),
        Caller(name="user", headers=service.person(_RICH[0])),
        Caller(name="service", headers=chat),
        Caller(name="nobody", headers={}),
        Caller(name="spreadsheet", headers={**admin, "Accept": "text/csv"}, only=_AS_CSV),
    ]
    return Books(
        service=service,
        conformance=Conformance(
            url=service.process.url, callers=callers, accepts=accepts, beyond_schema=beyond_schema
        ),
        known={
            "userId": [*_RICH, *_RICH, *_RICH, _POOR, _CAPPED],
            "sessionId": sessions,
            "modelId": [SONNET, HAIKU, OPUS],
            "fallbackModelIds": [HAIKU, OPUS],
            "allocationId": [give("usr_taken", 5) for _ in range(10)],
        },
        numbers=count(),
    )
