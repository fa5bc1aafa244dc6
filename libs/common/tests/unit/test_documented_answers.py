"""OpenAPI names each answer of a service that says which they are."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import pytest
from fastapi import APIRouter

from aula_common.errors import ConflictError, IdempotencyKeyReusedError, NotFoundError
from aula_common.security.principal import Principal
from aula_common.settings import ServiceSettings
from aula_common.web.access import user
from aula_common.web.answers import refusals
from aula_common.web.app import create_service_app
from aula_common.web.schemas import RequestModel

router = APIRouter()


class Note(RequestModel):
    text: str


@router.get("/open")
async def show() -> None: ...


@router.post("/notes", status_code=201, responses=refusals(ConflictError))
async def write(_note: Note) -> None: ...


@router.delete(
    "/notes/{note_id}",
    responses=refusals(NotFoundError, ConflictError, IdempotencyKeyReusedError),
)
async def delete(note_id: str, _who: Annotated[Principal, user()]) -> None: ...


def _document(*, exact: bool) -> dict[str, Any]:
    return create_service_app(
        service="common",
        settings=ServiceSettings(aula_env="development", port=0),
        lifespan=lambda _app: nullcontext(),  # nothing is served
        routers=[router],
        health_prefix="/api/common",
        exact_answers=exact,
    ).openapi()


def _codes(document: Mapping[str, Any], method: str, path: str) -> dict[str, list[str]]:
    answers = document["paths"][path][method]["responses"]
    codes = {}
    for status, answer in answers.items():
        if "$ref" in answer:
            name = answer["$ref"].rpartition("/")[2]
            [media] = document["components"]["responses"][name]["content"].items()
            assert media[0] == "application/problem+json"
            codes[status] = media[1]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    return codes


@pytest.mark.parametrize(
    ("method", "path", "codes"),
    [
        ("get", "/livez", {}),
        ("get", "/readyz", {"503": ["unavailable"]}),
        ("get", "/open", {"503": ["unavailable"]}),
        (
            "post",
            "/notes",
            {
                "400": ["malformed_request"],
                "408": ["request_timeout"],
                "409": ["conflict"],
                "413": ["payload_too_large"],
                "422": ["invalid_request"],
                "503": ["unavailable"],
            },
        ),
        (
            "delete",
            "/notes/{note_id}",
            {
                "400": ["malformed_request"],
                "401": ["unauthorized"],
                "403": ["forbidden"],
                "404": ["not_found"],
                "409": ["conflict", "idempotency_key_reused"],
                "413": ["payload_too_large"],
                "422": ["invalid_request"],
                "503": ["unavailable"],
            },
        ),
    ],
)
def test_each_route_has_its_refusals_and_those_of_the_house(
    method: str, path: str, codes: dict[str, list[str]]
) -> None:
    assert _codes(_document(exact=True), method, path) == codes


def test_answers_name_their_headers() -> None:
    document = _document(exact=True)
    described = document["components"]["responses"]
    assert described["unauthorized"]["headers"]["WWW-Authenticate"]["required"]
    assert described["unavailable"]["headers"]["Retry-After"]["required"]
    for answer in (*described.values(), document["paths"]["/open"]["get"]["responses"]["200"]):
        assert answer["headers"]["X-Request-Id"]["required"]


def test_nothing_of_fastapis_own_errors_is_left() -> None:
    assert "ValidationError" not in repr(_document(exact=True))


def test_a_service_that_does_not_say_may_answer_any_problem() -> None:
    answers = _document(exact=False)["paths"]["/notes"]["post"]["responses"]
    assert {"4XX", "5XX"} <= set(answers)
