"""One HTTP exchange as the endpoint sees it: answers, leaves, is left."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from aula_devstack.bedrock.errors import BedrockError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TRANSPORT = "aula.transport"
"""The ASGI extension under which the server hands over its side of the TCP connection."""

_LARGEST_BODY = 25 * 1024 * 1024


class Connection:
    """Reads the request's body, then knows at any moment whether the caller is still there."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport = scope["extensions"][TRANSPORT]["transport"]
        self._receive = receive
        self._send = send
        self._gone: asyncio.Task[None] | None = None

    async def read_body(self) -> bytes:
        """The whole body; from then on the caller's leaving is noticed.

        Raises BedrockError (413) beyond 25 MiB.
        """
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            part = message.get("body", b"")
            size += len(part)
            if size > _LARGEST_BODY:
                raise BedrockError("RequestEntityTooLargeException", "The request is too large.")
            parts.append(part)
            more = message.get("more_body", False)
        self._gone = asyncio.create_task(self._watch())
        return b"".join(parts)

    @property
    def left(self) -> bool:
        """Whether the caller has closed the connection."""
        return self._gone is not None and self._gone.done()

    async def left_within(self, seconds: float) -> bool:
        """Waits so long at most; True as soon as the caller leaves."""
        if self._gone is not None:
            await asyncio.wait({self._gone}, timeout=seconds)
        return self.left

    async def wait_until_left(self) -> None:
        """Sends nothing more and keeps the connection for as long as the caller does."""
        if self._gone is not None:
            await asyncio.wait({self._gone})

    async def start(
        self,
        status: int,
        *,
        content_type: str,
        length: int | None = None,
        error: str | None = None,
    ) -> None:
        """Sends status and headers; without a length the body is chunked."""
        headers = [
            (b"content-type", content_type.encode()),
            (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
        ]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if error is not None:
            namespace = "http://internal.amazon.com/coral/com.amazon.bedrock/"
            headers.append((b"x-amzn-errortype", f"{error}:{namespace}".encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, last: bool = False) -> None:
        """Sends a part of the body."""
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    async def answer(
        self, status: int, body: Mapping[str, Any] | list[Any], *, error: str | None = None
    ) -> None:
        """Sends a whole JSON answer."""
        encoded = json.dumps(body).encode()
        await self.start(status, content_type="application/json", length=len(encoded), error=error)
        await self.write(encoded, last=True)

    async def cut(self) -> None:
        """Ends the TCP connection after what was written, without finishing the answer."""
        self._transport.close()
        await self.wait_until_left()

    def close(self) -> None:
        """Stops watching."""
        if self._gone is not None:
            self._gone.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
