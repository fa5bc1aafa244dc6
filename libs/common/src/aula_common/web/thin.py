"""Thin routes: what FastAPI does for a service's POST of JSON, for those few that must cost little.

A thin route stands beside its endpoint of FastAPI, which describes it in OpenAPI and answers
whatever is wrong with a request. What a thin route answers by itself is what that endpoint would.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi.security.utils import get_authorization_scheme_param
from pydantic import ValidationError
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aula_common.errors import AulaError, UnauthorizedError
from aula_common.security.principal import Principal
from aula_common.web.access import require_scope, verify_caller
from aula_common.web.problems import answer_expected
from aula_common.web.schemas import RequestModel, ResponseModel

Body = TypeVar("Body", bound=RequestModel)

_JSON = b"application/json"
# what makes a request one for FastAPI to refuse
_WRONG = (AulaError, ValidationError, UnicodeDecodeError)


@dataclass(frozen=True, kw_only=True, eq=False)
class ThinRoute(Generic[Body]):
    """POST of a JSON body to `target` by a service with the scope, answered with `status`.

    `path` names it in logs and metrics: the path of its endpoint. `answer` gets the
    application's state.
    """

    target: str
    path: str
    scope: str
    body: type[Body]
    status: int
    answer: Callable[[State, Principal, Body], Awaitable[ResponseModel]]


class ThinRoutes:
    """Innermost middleware: serves thin routes, and leaves the rest to the application."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[ThinRoute[Any]]) -> None:
        self._app = app
        self._routes = {route.target: route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = self._routes.get(scope.get("path", ""))
        if route is None or scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = _Request(receive)
        state: State = scope["app"].state
        try:
            headers = dict(reversed(scope["headers"]))  # of several of a name the first counts
            data = await request.read() if headers.get(b"content-type") == _JSON else None
            if data is None:
                raise UnauthorizedError
            principal = await _verify(headers, state, route.scope)
            body = route.body.model_validate_json(data)
        except _WRONG:
            await self._app(scope, request.again, send)
            return
        scope["route"] = route
        try:
            answer = await route.answer(state, principal, body)
        except AulaError as error:
            await answer_expected(error, state.metrics)(scope, receive, send)
            return
        content = answer.__pydantic_serializer__.to_json(answer)
        length = (b"content-length", b"%d" % len(content))
        headers_out = [length, (b"content-type", _JSON)]
        await send({"type": "http.response.start", "status": route.status, "headers": headers_out})
        await send({"type": "http.response.body", "body": content})


async def _verify(headers: dict[bytes, bytes], state: State, scope: str) -> Principal:
    acting_for = headers.get(b"x-on-behalf-of")
    kind, credentials = get_authorization_scheme_param(
        headers.get(b"authorization", b"").decode("latin-1")
    )
    principal = await verify_caller(
        state.verifier,
        credentials if kind.lower() == "bearer" else "",
        acting_for=None if acting_for is None else acting_for.decode("latin-1"),
    )
    return require_scope(principal, scope)


class _Request:
    """A request's body, which may be read a second time, by FastAPI."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self._failure: HTTPException | None = None

    async def read(self) -> bytes | None:
        """The whole body; None if it is not to be had."""
        parts = []
        while True:
            try:
                message = await self._receive()
            except HTTPException as error:  # too large, or too slow
                self._failure = error
                return None
            self._messages.append(message)
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def again(self) -> Message:
        """What was received, from the beginning, then what comes after it."""
        if self._messages:
            return self._messages.pop(0)
        if self._failure is not None:
            raise self._failure
        return await self._receive()
