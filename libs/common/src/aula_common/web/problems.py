"""Errors as `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from aula_common.errors import (
    AulaError,
    ForbiddenError,
    MalformedRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnauthorizedError,
)
from aula_common.logging import get_logger
from aula_common.metrics import Metrics
from aula_common.requests import request_id

_log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_FIELD_CHARACTERS = 200
_MAX_ERRORS = 50
_SERVER_ERRORS = 500
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def problem_document(error: AulaError) -> dict[str, Any]:
    """The members of the document; `message` repeats `detail` for older clients."""
    return {
        "type": f"urn:aula:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "message": error.detail,
        "requestId": request_id.get(),
        **error.extra,
    }


def problem_response(error: AulaError) -> Response:
    """The answer for an error, with its headers."""
    return Response(
        # ASCII: a lone surrogate can't break it
        json.dumps(problem_document(error), default=str).encode(),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=error.headers,
    )


class ValidationFailedError(AulaError):
    """A request's fields are refused; `errors` names each field and why, never the input."""

    code = "invalid_request"
    status = 422
    title = "Invalid request"

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(
            "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3]),
            extra={"errors": errors},
        )


class _OtherHttpError(AulaError):
    """What Starlette or FastAPI answers by itself and none of our errors covers."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(str(error.detail), headers=error.headers)
        self.status = error.status_code  # type: ignore[misc]  # this one takes it from another
        self.code = "http_error"  # type: ignore[misc]  # likewise
        self.title = str(error.detail)  # type: ignore[misc]  # likewise


def _field(location: tuple[int | str, ...]) -> str:
    parts = location[1:] if location and location[0] == "body" and len(location) > 1 else location
    name = ".".join(str(part) for part in parts)[:_MAX_FIELD_CHARACTERS]
    return name.encode("ascii", "backslashreplace").decode()


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_invalid":  # the one message that repeats the input
        return "Input is of no kind that is expected here"
    return str(error["msg"])


def from_validation(errors: list[Mapping[str, Any]]) -> AulaError:
    """Our error for what pydantic found."""
    if any(error["type"] == "json_invalid" for error in errors):
        return MalformedRequestError("The body is not valid JSON.")
    return ValidationFailedError(
        [
            {"field": _field(tuple(error["loc"])), "message": _reason(error)}
            for error in errors[:_MAX_ERRORS]
        ]
    )


def from_http(error: HTTPException, request: Request, *, body_limit: int) -> AulaError:
    """Our error for one of Starlette's, at that request."""
    ours: dict[int, Callable[[], AulaError]] = {
        400: lambda: MalformedRequestError("The body could not be read."),
        401: UnauthorizedError,
        403: ForbiddenError,
        404: NotFoundError,
        405: lambda: MethodNotAllowedError(", ".join(_methods_of(request))),
        408: RequestTimeoutError,
        413: lambda: PayloadTooLargeError(body_limit),
    }
    return ours.get(error.status_code, lambda: _OtherHttpError(error))()


def _methods_of(request: Request) -> Iterator[str]:
    # Starlette names those of one route, and a path may have one for each method
    for method in _METHODS:
        asked = {**request.scope, "method": method}
        if any(route.matches(asked)[0] is Match.FULL for route in request.app.router.routes):
            yield method


def answer_expected(error: AulaError, metrics: Metrics) -> Response:
    """The answer for an expected error, which is counted and logged."""
    metrics.errors.labels(error.code).inc()
    # of what failed beneath; what a caller did wrong needs none, and may quote him
    cause = {"cause": repr(error.__cause__)} if error.status >= _SERVER_ERRORS else {}
    _log.info("expected error", code=error.code, status=error.status, **cause)
    return problem_response(error)


def install_problem_handlers(app: FastAPI, *, body_limit: int) -> None:
    """Answer every expected error of this application with a problem document."""

    async def on_aula(request: Request, error: Exception) -> Response:
        assert isinstance(error, AulaError)  # noqa: S101 - registered for it alone
        return answer_expected(error, request.app.state.metrics)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
        return problem_response(from_http(error, request, body_limit=body_limit))

    async def on_validation(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
        return problem_response(from_validation(list(error.errors())))

    app.add_exception_handler(AulaError, on_aula)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
