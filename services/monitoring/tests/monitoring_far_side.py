"""auth, accounting and chat as monitoring sees them: real HTTP, their contract, no more."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from aula_common.security.principal import Role
from aula_common.sse import sse_frame
from aula_common.testing import TokenMint

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-store")]


@dataclass
class Conversation:
    """One of chat's conversations; `events` are numbered frames, from the first."""

    owner: str
    history: list[tuple[str, str]] = field(default_factory=list)
    events: list[tuple[str, bytes]] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, event_id: str, event: str, **data: Any) -> bytes:
        """Let one more event happen; what goes over the wire for it."""
        frame = sse_frame(data, event=event, event_id=event_id)
        async with self.grown:
            self.events.append((event_id, frame))
            self.grown.notify_all()
        return frame


@dataclass(frozen=True)
class Call:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    scopes: frozenset[str]
    body: Any = None


class FarSide:
    """The three services in one application; what they were asked is in `calls`."""

    def __init__(self, mint: TokenMint) -> None:
        self.mint = mint
        self.people: dict[str, dict[str, Any]] = {}
        self.conversations: dict[str, Conversation] = {}
        self.streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.revocations: list[dict[str, Any]] = []
        self.calls: list[Call] = []
        self.away: set[str] = set()
        self.before_content: Callable[[Call], Awaitable[None]] | None = None
        self.observing = 0
        self.ended = 0
        self.left = asyncio.Event()
        self.refuse_observing: int | None = None
        self._cut = asyncio.Event()
        self._last_words: dict[str, bytes] = {}
        get, post = ["GET"], ["POST"]
        self.app = Starlette(
            routes=[
                Route("/api/auth/.well-known/jwks.json", self._jwks, methods=get),
                Route("/api/auth/token", self._token, methods=post),
                Route("/internal/revocations", self._revocations, methods=get),
                Route("/api/auth/users", self._users, methods=get),
                Route("/api/auth/users/{id}", self._user, methods=get),
                Route("/api/accounting/streaming/active/{id}", self._active, methods=get),
                Route("/internal/sessions/{id}/owner", self._owner, methods=get),
                Route("/internal/observations/renew", self._renew, methods=post),
                Route("/api/chat/users/{user}/sessions", self._sessions, methods=get),
                Route("/api/chat/users/{user}/sessions/{id}", self._session, methods=get),
                Route("/api/chat/sessions/{id}/observe", self._observe, methods=get),
            ]
        )

    def person(self, user_id: str, role: Role, *, name: str | None = None) -> str:
        """Let auth know somebody; their token."""
        self.people[user_id] = {
            "id": user_id,
            "username": name or user_id,
            "email": f"{user_id}@school.example",
            "displayName": None,
            "role": role,
        }
        return self.mint.user(user_id, role=role)

    def calls_to(self, part: str) -> list[Call]:
        """What arrived on paths that hold that part."""
        return [call for call in self.calls if part in call.path]

    async def cut(self) -> None:
        """Break every observation's connection, without an end."""
        broken = self.ended + self.observing
        self._cut.set()
        self._cut = asyncio.Event()
        async with asyncio.timeout(10):
            while self.ended < broken:  # noqa: ASYNC110 - the connections' own ends are the event
                await asyncio.sleep(0.005)

    async def tell(self, session_id: str, event: str, **data: Any) -> None:
        """Send an unnumbered event to who observes now, and end their connections."""
        self._last_words[session_id] = sse_frame(data, event=event)
        conversation = self.conversations[session_id]
        async with conversation.grown:
            conversation.grown.notify_all()
        telling = self.ended + self.observing
        async with asyncio.timeout(10):
            while self.ended < telling:  # noqa: ASYNC110 - the connections' own ends are the event
                await asyncio.sleep(0.005)
        del self._last_words[session_id]

    def last_words(self, session_id: str) -> bytes | None:
        """What `tell` wants said."""
        return self._last_words.get(session_id)

    async def _receive(self, request: Request, service: str, scope: str) -> Call | Response:
        authorization = request.headers.get("authorization", "")
        principal = await self.mint.verifier(service).verify(authorization.removeprefix("Bearer "))
        body = await request.json() if request.method == "POST" else None
        call = Call(
            request.method,
            request.url.path,
            dict(request.query_params),
            dict(request.headers),
            principal.scopes,
            body,
        )
        self.calls.append(call)
        if service in self.away:
            return JSONResponse({}, 503)
        return call if scope in principal.scopes else JSONResponse({}, 403)

    async def _jwks(self, _request: Request) -> Response:
        return JSONResponse(self.mint.jwks())

    async def _token(self, request: Request) -> Response:
        form = dict(pair.split("=", 1) for pair in (await request.body()).decode().split("&"))
        granted = {
            "auth": ["users:read", "revocations:read"],
            "accounting": ["streaming:read", "credits:read"],
            "chat": ["conversations:read", "observations:write"],
        }[form["audience"]]
        token = self.mint.service(form["client_id"], audience=form["audience"], scopes=granted)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 900})

    async def _revocations(self, request: Request) -> Response:
        call = await self._receive(request, "auth", "revocations:read")
        if isinstance(call, Response):
            return call
        return JSONResponse({"revocations": self.revocations, "next": "1"})

    async def _user(self, request: Request) -> Response:
        call = await self._receive(request, "auth", "users:read")
        if isinstance(call, Response):
            return call
        person = self.people.get(request.path_params["id"])
        return JSONResponse(person) if person else JSONResponse({}, 404)

    async def _users(self, request: Request) -> Response:
        call = await self._receive(request, "auth", "users:read")
        if isinstance(call, Response):
            return call
        query = request.query_params
        ids, text = query.getlist("id"), query.get("q", "")
        found = [
            person
            for person in self.people.values()
            if (not ids or person["id"] in ids) and text.casefold() in person["username"].casefold()
        ]
        return JSONResponse(_paged("users", found, call))

    async def _active(self, request: Request) -> Response:
        call = await self._receive(request, "accounting", "streaming:read")
        if isinstance(call, Response):
            return call
        return JSONResponse({"sessions": self.streams[request.path_params["id"]]})

    async def _owner(self, request: Request) -> Response:
        call = await self._receive(request, "chat", "conversations:read")
        if isinstance(call, Response):
            return call
        found = self.conversations.get(request.path_params["id"])
        return JSONResponse({"userId": found.owner}) if found else JSONResponse({}, 404)

    async def _renew(self, request: Request) -> Response:
        call = await self._receive(request, "chat", "observations:write")
        return call if isinstance(call, Response) else Response(status_code=204)

    async def _sessions(self, request: Request) -> Response:
        call = await self._receive(request, "chat", "conversations:read")
        if isinstance(call, Response):
            return call
        if self.before_content is not None:
            await self.before_content(call)
        own = [
            _session(key, one)
            for key, one in self.conversations.items()
            if one.owner == request.path_params["user"]
        ]
        return JSONResponse(_paged("sessions", own, call))

    async def _session(self, request: Request) -> Response:
        call = await self._receive(request, "chat", "conversations:read")
        if isinstance(call, Response):
            return call
        if self.before_content is not None:
            await self.before_content(call)
        key = request.path_params["id"]
        found = self.conversations.get(key)
        if found is None or found.owner != request.path_params["user"]:
            return JSONResponse({}, 404)
        messages = [
            {"id": f"msg_{n}", "role": role, "content": text, "status": "complete"}
            for n, (role, text) in enumerate(found.history)
        ]
        return JSONResponse({**_session(key, found), "messages": messages})

    async def _observe(self, request: Request) -> Response:
        call = await self._receive(request, "chat", "conversations:read")
        if isinstance(call, Response):
            return call
        if self.refuse_observing is not None:
            return JSONResponse({}, self.refuse_observing)
        if self.before_content is not None:
            await self.before_content(call)
        return _Observation(self, self.conversations[request.path_params["id"]], call, self._cut)


def _session(key: str, conversation: Conversation) -> dict[str, Any]:
    return {
        "sessionId": key,
        "title": f"About {conversation.history[0][1] if conversation.history else 'nothing'}",
        "modelId": "claude",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
        "metadata": {"source": "web", "userAgent": "curl"},
    }


def _paged(noun: str, items: list[Any], call: Call) -> dict[str, Any]:
    page, limit = int(call.query.get("page", 1)), int(call.query.get("limit", 20))
    return {
        noun: items[(page - 1) * limit : page * limit],
        "pagination": {
            "total": len(items),
            "page": page,
            "limit": limit,
            "pages": -(-len(items) // limit),
        },
    }


class _Observation(Response):
    """chat's observer stream: history unless resumed, then the events and what comes."""

    def __init__(
        self, far: FarSide, conversation: Conversation, call: Call, cut: asyncio.Event
    ) -> None:
        super().__init__()
        self._far = far
        self._conversation = conversation
        self._call = call
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        self._far.observing += 1
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        cut = asyncio.create_task(self._cut.wait())
        try:
            await asyncio.wait({sending, leaving, cut}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self._far.left.set()
        finally:
            self._far.observing -= 1
            self._far.ended += 1
            for task in (sending, leaving, cut):
                task.cancel()
            await asyncio.gather(sending, leaving, cut, return_exceptions=True)

    def _last_words(self) -> bytes | None:
        return self._far.last_words(self._call.path.split("/")[4])

    async def _send(self, send: Send) -> None:
        async def out(frame: bytes) -> None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        conversation = self._conversation
        last = self._call.headers.get("last-event-id")
        position = 0
        if last is None:
            await out(sse_frame({"message": "observing", "streamActive": True}, event="observer"))
            await out(sse_frame({}, event="history-start"))
            for role, text in conversation.history:
                await out(sse_frame({"role": role, "content": text}, event="history"))
            await out(sse_frame({}, event="history-end"))
        else:
            position = [event_id for event_id, _ in conversation.events].index(last) + 1
        while True:
            async with conversation.grown:
                while len(conversation.events) <= position and not self._last_words():
                    await conversation.grown.wait()
            if words := self._last_words():
                await out(words)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            frames = [frame for _, frame in conversation.events[position:]]
            position += len(frames)
            await out(b"".join(frames))
            terminal = b"event: complete" in frames[-1] or b"event: ended" in frames[-1]
            if terminal and self._call.query.get("follow") != "true":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
