"""The service answers every request, sound or not, as its OpenAPI document says it may."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from accounting_process import accounting_process
from fuzzed_books import Books, Walker, open_books
from openapi_conformance import each_operation, follow_links, load_schema

_STREAMING = "/api/accounting/streaming"
_ALIAS = "/api/streaming-sessions"
_DOCUMENT = Path(__file__).parents[2] / "openapi.json"

# What is not in the hands of a schema: a user may have no credits (402), a resource may be absent
# (404) or in another state (409), a quota may be used up (429).
_POSITIVE = {"expected-statuses": ["2xx", "401", "402", "403", "404", "409", "429"]}
# What a schema can't say of a field: that it is needed of services alone, lies in the future, is
# the id of a model with a rate, keeps a balance below its bound, or stands twice.
_BEYOND_SCHEMA = {
    "GET /api/accounting/credits": ["userId"],
    "POST /api/accounting/credits/check": ["userId", "modelId"],
    "POST /api/accounting/credits/allocate": ["expiresAt", "credits"],
    "PUT /api/accounting/rates": ["rates.startsAt", "rates.modelId"],
    "PUT /api/accounting/quotas": ["quotas"],
    "POST /api/accounting/usage/track": ["modelId"],
    f"POST {_STREAMING}/initialize": ["modelId", "fallbackModelIds"],
    f"POST {_STREAMING}/finalize": ["modelId"],
    f"POST {_STREAMING}/abort": ["modelId"],
    f"POST {_ALIAS}/initialize": ["modelId", "fallbackModelIds"],
    f"POST {_ALIAS}/finalize": ["modelId"],
    f"POST {_ALIAS}/abort": ["modelId"],
}

# a busy machine is no finding
_PATIENCE = {
    "GROUP_COMMIT_PATIENCE_SECONDS": "60",
    "DATABASE_POOL_TIMEOUT_SECONDS": "60",
    "DATABASE_STATEMENT_TIMEOUT_MS": "60000",
    "DATABASE_LOCK_TIMEOUT_MS": "60000",
}
_FIRST = (
    f"POST {_STREAMING}/initialize",
    "POST /api/accounting/credits/allocate",
    f"POST {_ALIAS}/initialize",
)
_LED_TO = (
    f"GET {_STREAMING}/{{sessionId}}",
    f"POST {_STREAMING}/heartbeat",
    f"POST {_STREAMING}/finalize",
    f"POST {_STREAMING}/abort",
    "POST /api/accounting/credits/allocations/{allocationId}/revoke",
)
_SIGNED_IN = ("admin", "user", "service")
# Whom each operation serves; the others it refuses, always.
_ACCEPTS: Mapping[str, Sequence[str]] = {
    "GET /health": (*_SIGNED_IN, "nobody"),
    "GET /api/health": (*_SIGNED_IN, "nobody"),
    "GET /api/accounting/health": (*_SIGNED_IN, "nobody"),
    "GET /livez": (*_SIGNED_IN, "nobody"),
    "GET /readyz": (*_SIGNED_IN, "nobody"),
    "GET /api/version": _SIGNED_IN,
    "GET /api/accounting/credits": _SIGNED_IN,
    "POST /api/accounting/credits/check": _SIGNED_IN,
    "POST /api/accounting/credits/allocate": ("admin",),
    "GET /api/accounting/credits/allocations": ("admin", "user"),
    "POST /api/accounting/credits/allocations/{allocationId}/revoke": ("admin",),
    "GET /api/accounting/ledger": ("admin", "user"),
    "GET /api/accounting/quotas": _SIGNED_IN,
    "PUT /api/accounting/quotas": ("admin",),
    "POST /api/accounting/quotas/consume": ("service",),
    "GET /api/accounting/rates": _SIGNED_IN,
    "PUT /api/accounting/rates": ("admin",),
    "GET /api/accounting/reconciliation": ("admin",),
    "GET /api/accounting/usage": ("admin", "user", "spreadsheet"),
    "GET /api/accounting/usage/summary": ("admin", "user", "spreadsheet"),
    "POST /api/accounting/usage/track": ("service",),
    f"POST {_STREAMING}/initialize": ("service",),
    f"POST {_STREAMING}/heartbeat": ("service",),
    f"POST {_STREAMING}/finalize": ("service",),
    f"POST {_STREAMING}/abort": ("service",),
    f"POST {_ALIAS}/initialize": ("service",),
    f"POST {_ALIAS}/finalize": ("service",),
    f"POST {_ALIAS}/abort": ("service",),
    f"GET {_STREAMING}/active": _SIGNED_IN,
    f"GET {_STREAMING}/active/{{userId}}": _SIGNED_IN,
    f"GET {_STREAMING}/{{sessionId}}": _SIGNED_IN,
}

quick = load_schema(_DOCUMENT, max_examples=6, positive_data_acceptance=_POSITIVE)
thorough = load_schema(_DOCUMENT, max_examples=200, positive_data_acceptance=_POSITIVE)
sound = load_schema(_DOCUMENT, max_examples=10, sound=True, positive_data_acceptance=_POSITIVE)


@pytest.fixture(scope="module")
def books(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    log = tmp_path_factory.mktemp("accounting") / "log"
    with accounting_process(postgres_url, log, MAX_RUNNING_STREAMS="20", **_PATIENCE) as service:
        yield open_books(service, accepts=_ACCEPTS, beyond_schema=_BEYOND_SCHEMA)


@each_operation(quick)
def test_every_answer_is_documented(case: Any, books: Books) -> None:
    books.send(case)


@pytest.mark.deep
@each_operation(thorough)
def test_every_answer_to_many_requests_is_documented(case: Any, books: Books) -> None:
    books.send(case)


def test_each_operation_serves_whom_it_should_and_nobody_else(books: Books) -> None:
    operations = json.loads(_DOCUMENT.read_text(encoding="utf-8"))["paths"]
    named = {f"{method.upper()} {path}" for path, ones in operations.items() for method in ones}
    assert named == set(_ACCEPTS)
    _check_service(books)


@pytest.mark.deep
def test_each_operation_served_whom_it_should_of_many_requests(books: Books) -> None:
    _check_service(books)


def _check_service(books: Books) -> None:
    for operation in books.conformance.tally.statuses:  # of those tests that ran
        served = books.conformance.tally.accepted(operation)
        assert served == set(_ACCEPTS[operation]), operation
    log = books.service.process.log_file.read_text(encoding="utf-8")
    assert '"request"' in log  # it logs at all
    assert "unexpected" not in log
    assert "Traceback" not in log


def test_what_an_answer_leads_to_is_there(books: Books) -> None:
    walker = Walker(books, first=_FIRST)
    followed = follow_links(
        sound,
        books.conformance,
        begin=walker.begin,
        prepare=walker.prepare,
        caller_of=lambda operation: "service" if "service" in _ACCEPTS[operation] else "admin",
        walks=100,
    )
    for operation in _LED_TO:
        assert followed[operation], (operation, followed)
