"""What each operation may refuse with, in OpenAPI: which statuses, codes, members and headers."""

from collections.abc import Iterable, Mapping
from typing import Any

from aula_common.errors import (
    AulaError,
    ForbiddenError,
    MalformedRequestError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnauthorizedError,
    UnavailableError,
)
from aula_common.web.middleware import QUIET_PATHS
from aula_common.web.problems import MEDIA_TYPE, ValidationFailedError

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "message", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "requestId": {"type": ["string", "null"]},
    },
}

_FIELD_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["field", "message"],
    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
    "additionalProperties": False,
}
_SECONDS = {"type": "integer", "minimum": 1}
_RETRY_LATER = {"retryAfter": _SECONDS}
# what a problem of that status holds besides, always
_MEMBERS: Mapping[int, Mapping[str, Any]] = {
    413: {"limit": {"type": "integer", "description": "In bytes."}},
    422: {"errors": {"type": "array", "items": _FIELD_ERROR, "minItems": 1}},
    429: _RETRY_LATER,
    503: _RETRY_LATER,
}

_REQUEST_ID = {
    "X-Request-Id": {
        "description": "The one that the request came with, or a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    }
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "required": True, "schema": _SECONDS}}
_COUNT = {"type": "integer", "minimum": 0}
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {
        **_RETRY_AFTER,
        "X-RateLimit-Limit": {"schema": _COUNT},
        "X-RateLimit-Remaining": {"schema": _COUNT},
        "X-RateLimit-Reset": {
            "description": "When it begins anew, in seconds since 1970.",
            "schema": _COUNT,
        },
    },
    503: _RETRY_AFTER,
}
_CODES = "x-codes"  # of an answer, between `refusals` and `document_answers`


def refusals(*errors: type[AulaError]) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: the errors that its endpoint may raise.

    What every such route may answer with (no token, a body too large…) need not be named.
    """
    answers: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        answers.setdefault(error.status, {_CODES: []})[_CODES].append(error.code)
    return answers


def document_answers(document: dict[str, Any]) -> None:
    """Give each operation of an OpenAPI document its refusals, and every answer its headers.

    Those that it may raise are as its route names them with `refusals`. Added are those of the
    house: while draining, without a valid token, of a body or parameter that is none.
    """
    components = document.setdefault("components", {})
    responses = components.setdefault("responses", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, of which none is sent
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            codes: dict[int, set[str]] = {}
            for error in _usual(method, path, operation):
                codes.setdefault(error.status, set()).add(error.code)
            for status in list(answers):
                if _CODES in answers[status]:
                    codes.setdefault(int(status), set()).update(answers.pop(status)[_CODES])
                else:
                    answers[status].setdefault("headers", {}).update(_REQUEST_ID)
            for status, ones in sorted(codes.items()):
                name = "-".join(sorted(ones))
                responses[name] = _problem(status, ones)
                answers[str(status)] = {"$ref": f"#/components/responses/{name}"}


def _usual(method: str, path: str, operation: Mapping[str, Any]) -> Iterable[type[AulaError]]:
    if path not in QUIET_PATHS:
        yield UnavailableError
    if "security" in operation:
        yield from (UnauthorizedError, ForbiddenError, MalformedRequestError)
    if method != "get":
        yield PayloadTooLargeError  # said by its length alone, also of a body that nobody reads
    if "requestBody" in operation:
        yield from (MalformedRequestError, RequestTimeoutError)
    if "422" in operation["responses"]:  # FastAPI's: something is validated
        yield ValidationFailedError


def _problem(status: int, codes: set[str]) -> dict[str, Any]:
    members = _MEMBERS.get(status, {})
    told: dict[str, Any] = {"properties": {"status": {"const": status}, **members}}
    told["properties"]["code"] = {"enum": sorted(codes)}
    if members:
        told["required"] = list(members)
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, told]}
    return {
        "description": ", ".join(f"`{code}`" for code in sorted(codes)),
        "content": {MEDIA_TYPE: {"schema": schema}},
        "headers": {**_REQUEST_ID, **_HEADERS.get(status, {})},
    }
