"""Observers by the hundred, each on a bare connection: clients that cost next to nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx

from aula_common.ids import new_id
from aula_devstack.platform import Platform

_AT_ONCE = 50  # that connect at the same time
_RENEW_SECONDS = 3
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class Observer(asyncio.Protocol):
    """Keeps what it is sent, until it has seen a stream's end."""

    def __init__(self, observation_id: str) -> None:
        self.id = observation_id
        self._received = bytearray()
        loop = asyncio.get_running_loop()
        self._waited_for: dict[bytes, asyncio.Future[None]] = {
            mark: loop.create_future() for mark in (b"event: history-end", b"event: complete")
        }

    def data_received(self, data: bytes) -> None:
        """Some more; what is waited for may be cut in two."""
        self._received += data
        recent = self._received[-len(data) - 40 :]
        for mark, seen in self._waited_for.items():
            if mark in recent and not seen.done():
                seen.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        for seen in self._waited_for.values():
            if not seen.done():
                seen.set_exception(exc or EOFError(bytes(self._received[-300:])))
                seen.exception()  # perhaps nobody waits for it

    async def joined(self) -> None:
        """Return when it has the history."""
        await self._waited_for[b"event: history-end"]

    async def ended(self) -> None:
        """Return when it has a stream's end."""
        await self._waited_for[b"event: complete"]

    @property
    def numbered(self) -> list[bytes]:
        """The frames that have numbers, each as it was sent."""
        _, _, body = bytes(self._received).partition(b"\r\n\r\n")
        content, at = bytearray(), 0
        while (size := _CHUNK.match(body, at)) and (length := int(size[1], 16)):
            content += body[size.end() : size.end() + length]
            at = size.end() + length + 2
        frames = bytes(content).split(b"\n\n")
        return [frame for frame in frames if frame.startswith(b"id: ")]


async def monitoring_token(platform: Platform, url: str) -> str:
    """A token by which monitoring asks chat."""
    form = {"grant_type": "client_credentials", "client_id": "monitoring", "audience": "chat"}
    form["client_secret"] = platform.home.secrets.secret("service_client.monitoring")
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/auth/token", data=form)
    assert answer.status_code == httpx.codes.OK, answer.text
    return str(answer.json()["access_token"])


@asynccontextmanager
async def observing_by_hundreds(
    session_id: str, *, urls: Sequence[str], token: str, supervisor_id: str, count: int
) -> AsyncIterator[list[Observer]]:
    """So many observers, in turn at these chat processes, who have the history and wait."""
    observers = [Observer(new_id("obs")) for _ in range(count)]
    renewing = asyncio.create_task(_renew(urls[0], token, [each.id for each in observers]))
    transports: list[asyncio.BaseTransport] = []
    free = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def join(number: int, observer: Observer) -> None:
        address = urlsplit(urls[number % len(urls)])
        async with free:
            transport, _ = await loop.create_connection(
                lambda: observer, address.hostname or "", address.port or 0
            )
            transports.append(transport)
            query = f"follow=true&observationId={observer.id}"
            transport.write(
                f"GET /api/chat/sessions/{session_id}/observe?{query} HTTP/1.1\r\n"
                f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
                f"X-On-Behalf-Of: {supervisor_id}\r\n\r\n".encode()
            )
            await observer.joined()

    try:
        await asyncio.gather(*(join(*numbered) for numbered in enumerate(observers)))
        yield observers
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        for transport in transports:
            transport.close()


async def _renew(url: str, token: str, observation_ids: list[str]) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        while True:
            body = {"observationIds": observation_ids}
            answer = await client.post("/internal/observations/renew", json=body)
            assert answer.status_code == httpx.codes.NO_CONTENT, answer.text
            await asyncio.sleep(_RENEW_SECONDS)
