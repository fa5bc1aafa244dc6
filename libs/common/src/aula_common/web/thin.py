"""Thin routes: what FastAPI does for a POST of JSON, for those few that must cost little.

A thin route stands beside its endpoint of FastAPI, which describes it in OpenAPI and answers
whatever is wrong with a request. What a thin route answers by itself is what that endpoint would.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fastapi.security.utils import get_authorization_scheme_param
from pydantic import ValidationError
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aula_common.errors import AulaError, UnauthorizedError
from aula_common.ids import ID_PATTERN
from aula_common.security.principal import Principal
from aula_common.web.access import verify_caller
from aula_common.web.problems import answer_expected
from aula_common.web.schemas import RequestModel, ResponseModel

Body = TypeVar("Body", bound=RequestModel)

_JSON = b"application/json"
_IDENTIFIER = "{id}"
# what makes a request one for FastAPI to refuse
_WRONG = (AulaError, ValidationError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinRequest(Generic[Body]):
    """What a thin route answers.

    `identifier` is the one in its path, "" if it has none; of `headers` those that are absent are
    None.
    """

    principal: Principal
    identifier: str
    headers: Mapping[str, str | None]
    body: Body


@dataclass(frozen=True, kw_only=True, eq=False)
class ThinRoute(Generic[Body]):
    """POST of a JSON body to `target`, in which `{id}` may stand for an identifier.

    `path` names it in logs and metrics: the path of its endpoint. `admit` returns the principal or
    raises ForbiddenError. `headers` are those that the endpoint takes, each with the pattern of
    what it accepts. `answer` gets the application's state; a model is answered with `status`.
    """

    target: str
    path: str
    admit: Callable[[Principal], Principal]
    body: type[Body]
    status: int
    answer: Callable[[State, ThinRequest[Body]], Awaitable[ResponseModel | Response]]
    headers: Mapping[str, re.Pattern[str]] = field(default_factory=dict)


class ThinRoutes:
    """Innermost middleware: serves thin routes, and leaves the rest to the application."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[ThinRoute[Any]]) -> None:
        self._app = app
        self._routes = {one.target: one for one in routes if _IDENTIFIER not in one.target}
        self._patterns = [(_pattern(one), one) for one in routes if _IDENTIFIER in one.target]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        route, identifier = self._find(scope["path"])
        if route is None:
            await self._app(scope, receive, send)
            return
        request = _Request(receive)
        state: State = scope["app"].state
        try:
            asked = await _understand(request, route, scope, identifier)
        except _WRONG:
            await self._app(scope, request.again, send)
            return
        scope["route"] = route
        try:
            answer = await route.answer(state, asked)
        except AulaError as error:
            answer = answer_expected(error, state.metrics)
        if isinstance(answer, ResponseModel):
            await _send_json(send, route.status, answer)
        else:
            await answer(scope, receive, send)

    def _find(self, path: str) -> tuple[ThinRoute[Any] | None, str]:
        if (route := self._routes.get(path)) is not None:
            return route, ""
        for pattern, route in self._patterns:
            if (match := pattern.fullmatch(path)) is not None:
                return route, match[1]
        return None, ""


async def _send_json(send: Send, status: int, answer: ResponseModel) -> None:
    content = answer.__pydantic_serializer__.to_json(answer)
    headers = [(b"content-length", b"%d" % len(content)), (b"content-type", _JSON)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _pattern(route: ThinRoute[Any]) -> re.Pattern[str]:
    before, _, after = route.target.partition(_IDENTIFIER)
    return re.compile(f"{re.escape(before)}({ID_PATTERN.pattern}){re.escape(after)}")


async def _understand(
    request: "_Request", route: ThinRoute[Body], scope: Scope, identifier: str
) -> ThinRequest[Body]:
    """What is asked, by whom; one of `_WRONG` if FastAPI has to refuse it."""
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of several the first counts
    data = await request.read() if headers.get(b"content-type") == _JSON else None
    if data is None:
        raise UnauthorizedError
    state: State = scope["app"].state
    principal = route.admit(await _verify(headers, state))
    body = route.body.model_validate_json(data)
    given = {name: headers.get(name.lower().encode()) for name in route.headers}
    texts = {
        name: None if value is None else value.decode("latin-1") for name, value in given.items()
    }
    for name, pattern in route.headers.items():
        if (text := texts[name]) is not None and pattern.fullmatch(text) is None:
            raise UnauthorizedError
    return ThinRequest(principal=principal, identifier=identifier, headers=texts, body=body)


async def _verify(headers: dict[bytes, bytes], state: State) -> Principal:
    acting_for = headers.get(b"x-on-behalf-of")
    kind, credentials = get_authorization_scheme_param(
        headers.get(b"authorization", b"").decode("latin-1")
    )
    return await verify_caller(
        state.verifier,
        credentials if kind.lower() == "bearer" else "",
        acting_for=None if acting_for is None else acting_for.decode("latin-1"),
    )


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
