"""The least that passes a stream on: a bare ASGI application over aiohttp's client.

Served by `uvicorn bench.stream.bare:app`; passes every request to UPSTREAM, and its bytes back. It
authenticates nobody, counts nothing and forgets everything.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

Message = MutableMapping[str, Any]
_UPSTREAM = os.environ.get("UPSTREAM", "")
_session: list[aiohttp.ClientSession] = []


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]
) -> None:
    """Pass one request on."""
    if scope["type"] != "http":
        return
    if not _session:
        _session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    url = _UPSTREAM + scope["raw_path"].decode()
    headers = {"Content-Type": "application/json"}
    async with _session[0].request(scope["method"], url, data=body, headers=headers) as answer:
        kind = answer.headers.get("Content-Type", "application/json").encode()
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(b"content-type", kind)],
            }
        )
        async for data in answer.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
