"""Requests made by Schemathesis from an OpenAPI document, sent as each kind of caller."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

Test = TypeVar("Test", bound=Callable[..., None])

SEED = 20261121
_ANSWER_SECONDS = 60.0
_INVALID = 422
_STEPS = 6  # of a walk along links
_SOME = 5  # of so many requests one is sent as those who are refused anyway


def load_schema(document: Path, *, max_examples: int, sound: bool = False, **checks: Any) -> Any:
    """The document's operations, to make the same requests each time; `checks` narrow some.

    Of the requests many break the document; with `sound` none does.
    """
    generation = {
        "mode": "positive" if sound else "all",
        "max-examples": max_examples,
        "deterministic": True,
        "database": "none",
        # each request is sent as callers whose credentials it then has, and as nobody
        "with-security-parameters": False,
    }
    config = SchemathesisConfig.from_dict(
        {"seed": SEED, "generation": generation, "checks": checks}
    )
    return schemathesis.openapi.from_path(document, config=config)


def each_operation(schema: Any) -> Callable[[Test], Test]:
    """A decorator: the test is run for each operation, with many a `case`."""
    decorate: Callable[[Test], Test] = schema.parametrize()
    return decorate


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sends requests: their headers, and a connection kept open.

    With `only` they are sent to these operations and no others.
    """

    name: str
    headers: Mapping[str, str]
    only: Collection[str] = ()
    session: requests.Session = field(default_factory=requests.Session)


@dataclass(frozen=True)
class Tally:
    """How each operation answered each caller."""

    statuses: dict[str, dict[str, Counter[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    requests: Counter[str] = field(default_factory=Counter)

    def turn(self, operation: str) -> int:
        """0 for the first request, and for one of every few that follow."""
        self.requests[operation] += 1
        return (self.requests[operation] - 1) % _SOME

    def note(self, operation: str, caller: str, status: int) -> None:
        """Count one answer."""
        self.statuses[operation][caller][status] += 1

    def accepted(self, operation: str) -> set[str]:
        """Whom the operation answered with success at least once."""
        callers = self.statuses[operation].items()
        return {name for name, seen in callers if any(200 <= status < 300 for status in seen)}


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """Sends requests to the service at `url`, and checks each answer with every check there is.

    `accepts` says by operation which callers it answers with success, some time at least; the
    others are sent a part of the requests. `beyond_schema` says by operation which fields may be
    refused (422) though JSON Schema has nothing against them: only that is no failure of
    `positive_data_acceptance`.
    """

    url: str
    callers: Sequence[Caller]
    accepts: Mapping[str, Collection[str]]
    beyond_schema: Mapping[str, Collection[str]]
    tally: Tally = field(default_factory=Tally)

    def send(self, case: Any) -> None:
        """Send the request as those whose turn it is; Schemathesis' errors say what is wrong."""
        operation = case.operation.label
        turn = self.tally.turn(operation)
        for caller in self.callers:
            if caller.only and operation not in caller.only:
                continue
            if turn == 0 or caller.name in self.accepts[operation]:
                self._send_as(caller, case)

    def _send_as(self, caller: Caller, case: Any) -> None:
        transport = self.transport(caller)
        answer = case.call(**transport)
        self.tally.note(case.operation.label, caller.name, answer.status_code)
        self.check(case, answer, transport)

    def transport(self, caller: Caller) -> dict[str, Any]:
        """How a request is sent as that caller."""
        return {
            "base_url": self.url,
            "session": caller.session,
            "headers": dict(caller.headers),
            "timeout": _ANSWER_SECONDS,
        }

    def check(
        self, case: Any, answer: Any, transport: dict[str, Any], *, recorder: Any = None
    ) -> None:
        """Check one answer; the recorder knows what went before it."""
        refused = _refused_fields(answer)
        pardoned = refused and refused <= set(self.beyond_schema.get(case.operation.label, ()))
        case.validate_response(
            answer,
            headers=transport["headers"],
            excluded_checks=[positive_data_acceptance] if pardoned else None,
            transport_kwargs=transport,
            recorder=recorder,
        )


def whole_numbers(value: Any) -> Any:
    """The JSON with 3 for 3.0: to JSON Schema both are integers, to the house only the first."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole_numbers(member) for member in value]
    return value


def _refused_fields(answer: Any) -> set[str]:
    if answer.status_code != _INVALID:
        return set()
    return {error["field"] for error in answer.json()["errors"]}


def follow_links(
    schema: Any,
    conformance: Conformance,
    *,
    begin: Callable[[], None],
    prepare: Callable[[Any], None],
    caller_of: Callable[[str], str],
    walks: int,
) -> Counter[str]:
    """Walk along the document's links, and check each answer beside those before it.

    `begin` begins a walk, which must not depend on those before it; `prepare` may change a request
    before it is sent as the caller that `caller_of` its operation names. The answer: how often
    which operation was led to, and answered with success.
    """
    followed: Counter[str] = Counter()
    callers = {caller.name: caller for caller in conformance.callers}

    class Walk(schema.as_state_machine()):  # type: ignore[misc]  # made at run time
        def setup(self) -> None:
            begin()

        def before_call(self, case: Any) -> None:
            prepare(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return conformance.transport(callers[caller_of(case.operation.label)])

        def validate_response(self, response: Any, case: Any, **transport: Any) -> None:
            conformance.check(case, response, transport, recorder=self.recorder)
            parent = self.recorder.find_parent(case_id=case.id)
            if parent is not None and 200 <= response.status_code < 300:
                followed[case.operation.label] += 1

    Walk.run(
        settings=settings(
            max_examples=walks,
            stateful_step_count=_STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    return followed
