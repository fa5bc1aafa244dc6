"""The request being answered, for whoever needs its id: logs, errors, calls to other services."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
