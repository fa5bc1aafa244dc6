"""The errors that a caller may expect, each with a stable code and its HTTP status."""

from collections.abc import Mapping
from typing import Any, ClassVar


class AulaError(Exception):
    """Base of every expected failure.

    Subclasses set `code` (stable, for programs), `status` (HTTP) and `title` (for people);
    `extra` holds further members of the problem document, with camelCase keys.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.title
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class MalformedRequestError(AulaError):
    """The request can't be read at all: broken JSON, a broken `Last-Event-ID`."""

    code = "malformed_request"
    status = 400
    title = "Malformed request"


class UnauthorizedError(AulaError):
    """No valid credential. One body for every cause, so that it tells an attacker nothing."""

    code = "unauthorized"
    status = 401
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "A valid access token is required.", headers={"WWW-Authenticate": "Bearer"}
        )


class ForbiddenError(AulaError):
    """The caller's role may never do this."""

    code = "forbidden"
    status = 403
    title = "Forbidden"

    def __init__(self) -> None:
        super().__init__("Your role does not permit this.")


class NotFoundError(AulaError):
    """Absent, or not the caller's: the same bytes for both."""

    code = "not_found"
    status = 404
    title = "Not found"

    def __init__(self) -> None:
        super().__init__("There is no such resource.")


class MethodNotAllowedError(AulaError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"

    def __init__(self, allowed: str | None = None) -> None:
        super().__init__(
            "This resource does not have that method.",
            headers={"Allow": allowed} if allowed else None,
        )


class RequestTimeoutError(AulaError):
    """The body came too slowly."""

    code = "request_timeout"
    status = 408
    title = "Request timeout"

    def __init__(self) -> None:
        super().__init__("The body took too long to arrive.")


class ConflictError(AulaError):
    """The state of the resource forbids it now."""

    code = "conflict"
    status = 409
    title = "Conflict"


class IdempotencyKeyReusedError(ConflictError):
    """The same `Idempotency-Key` came with another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another request.")


class PayloadTooLargeError(AulaError):
    """The body exceeds what the service reads.

    `limit` is in bytes.
    """

    code = "payload_too_large"
    status = 413
    title = "Payload too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body may have {limit} bytes at most.", extra={"limit": limit})


class InvalidFieldError(AulaError):
    """A field's value is refused; the document names the field and the reason, never the input."""

    code = "invalid_request"
    status = 422
    title = "Invalid request"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(
            f"{field}: {reason}", extra={"errors": [{"field": field, "message": reason}]}
        )


class RateLimitedError(AulaError):
    """Too much in too short a time; `retry_after` is in whole seconds."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"

    def __init__(
        self,
        *,
        retry_after: int,
        limit: int | None = None,
        remaining: int = 0,
        reset_at: int | None = None,
        detail: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        headers = {"Retry-After": str(retry_after)}
        if limit is not None:
            headers |= {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining)}
        if reset_at is not None:
            headers["X-RateLimit-Reset"] = str(reset_at)
        super().__init__(
            detail or f"Try again in {retry_after} s.",
            extra={"retryAfter": retry_after, **(extra or {})},
            headers=headers,
        )


class UnavailableError(AulaError):
    """A dependency is away, or the service drains; `retry_after` is in whole seconds."""

    code = "unavailable"
    status = 503
    title = "Service unavailable"

    def __init__(self, dependency: str, *, retry_after: int = 5) -> None:
        self.dependency = dependency
        super().__init__(
            f"{dependency} is not available at the moment.",
            extra={"retryAfter": retry_after},
            headers={"Retry-After": str(retry_after)},
        )
