"""The real gateway before tiny real servers, and raw sockets to speak to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aula_devstack.servers.gateway import Gateway
from aula_devstack.servers.ports import Ports

CADDYFILE = Path(__file__).parents[2] / "deploy" / "gateway" / "Caddyfile"
SERVICES = ("auth", "accounting", "chat", "monitoring")
PATIENCE = 15.0


@dataclass(frozen=True)
class Received:
    """A request as it arrived at a service."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header, its name in any case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


Handler = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Service:
    """A small HTTP server in a service's place; it names itself unless told otherwise."""

    name: str
    received: list[Received] = field(default_factory=list)
    probes: int = 0
    ready: bool = True
    handler: Handler | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                await self._answer(request, reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.target == "/readyz":
            self.probes += 1
            writer.write(plain(200 if self.ready else 503, b"{}"))
            return
        self.received.append(request)
        if self.handler is not None:
            await self.handler(request, reader, writer)
        else:
            writer.write(plain(200, json.dumps({"service": self.name}).encode()))


def plain(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def _read_head(reader: asyncio.StreamReader) -> list[str] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    return head.decode("latin-1").split("\r\n")[:-2]


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", 0)))


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    if (lines := await _read_head(reader)) is None:
        return None
    method, target, _ = lines[0].split(" ")
    headers = [_pair(line) for line in lines[1:]]
    body = await _read_body(reader, {name.lower(): value for name, value in headers})
    return Received(method, target, headers, body)


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, object]:
        """The problem document."""
        assert self.headers["content-type"] == "application/problem+json", self.headers
        document: dict[str, object] = json.loads(self.body)
        return document


@dataclass
class Stack:
    """The gateway with what is behind it."""

    gateway: Gateway
    services: dict[str, Service]

    def reached(self) -> list[tuple[str, str]]:
        """Which targets arrived at which services."""
        return [(name, one.target) for name, s in self.services.items() for one in s.received]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the gateway."""
        return await asyncio.open_connection("127.0.0.1", self.gateway.port)

    async def send(self, request: bytes) -> Answer:
        """Send these very bytes and read one answer."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request)
                await writer.drain()
                return await read_answer(reader)
        finally:
            writer.close()

    async def get(self, target: str, *, method: str = "GET", **headers: str) -> Answer:
        """One request for that very target."""
        return await self.send(request_bytes(target, method=method, body=None, **headers))


def request_bytes(
    target: str, *, method: str = "GET", body: bytes | None = None, **headers: str
) -> bytes:
    """A request; underscores in the headers' names stand for hyphens."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    lines = await _read_head(reader)
    assert lines is not None, "the connection was closed without an answer"
    headers = {name.lower(): value for name, value in map(_pair, lines[1:])}
    return Answer(int(lines[0].split(" ")[1]), headers, await _read_body(reader, headers))


@asynccontextmanager
async def running_stack(
    home: Path, *, chats: int = 1, host: str = "", **variables: str
) -> AsyncIterator[Stack]:
    """The gateway and its services; further chats are named chat2, chat3…"""
    names = [*SERVICES, *(f"chat{number}" for number in range(2, chats + 1))]
    async with AsyncExitStack() as stack:
        services = {name: Service(name) for name in names}
        for service in services.values():
            await service.start()
            stack.push_async_callback(service.stop)
        chat_urls = [one.url for name, one in services.items() if name.startswith("chat")]
        upstreams = {f"{name.upper()}_API_URL": services[name].url for name in SERVICES}
        port = Ports().any("gateway")
        address = f"http://{host}:{port}" if host else f":{port}"
        here = {"GATEWAY_ADDRESS": address, "GATEWAY_BIND": "127.0.0.1"}
        gateway = Gateway(
            port=port,
            data=home / "gateway",
            log_file=home / "gateway.log",
            caddyfile=CADDYFILE,
            upstreams={**here, **upstreams, "CHAT_API_URL": " ".join(chat_urls), **variables},
        )
        stack.callback(gateway.stop)
        gateway.start()
        yield Stack(gateway, services)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that shows only by looking."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)
