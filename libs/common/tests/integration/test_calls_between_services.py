"""ServiceClient against a real server on a real port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from common_builders import until

from aula_common.breaker import CircuitBreaker
from aula_common.errors import UnavailableError
from aula_common.http import ServiceClient, create_session
from aula_common.requests import request_id
from aula_common.security.service_tokens import GrantedToken, ServiceTokens
from aula_common.testing import ManualClock

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Far:
    """The service called: answers what it is told, one handler after another, the last for ever."""

    handlers: list[Handler] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
        return await handler(request)


def status(code: int, **headers: str) -> Handler:
    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"status": code}, status=code, headers=headers)

    return handle


async def drop(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def far(*handlers: Handler) -> AsyncIterator[Far]:
    it = Far(list(handlers))
    server = web.Server(it.answer)
    runner = web.ServerRunner(server, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    it.url = f"http://{host}:{port}"
    try:
        yield it
    finally:
        await runner.cleanup()


class Issuer:
    def __init__(self) -> None:
        self.granted = 0
        self.hangs = False

    async def grant(self, audience: str) -> GrantedToken:
        self.granted += 1
        if self.hangs:
            await asyncio.Event().wait()
        return GrantedToken(f"{audience}-token-{self.granted}", 600)


@dataclass
class Near:
    """The service that calls."""

    client: ServiceClient
    breaker: CircuitBreaker
    issuer: Issuer
    clock: ManualClock


@asynccontextmanager
async def near(it: Far, *, failures: int = 3) -> AsyncIterator[Near]:
    clock, issuer = ManualClock(), Issuer()
    breaker = CircuitBreaker(dependency="chat", clock=clock, failures=failures, reset_after=10)
    async with create_session() as session:
        client = ServiceClient(
            audience="chat",
            base_url=it.url + "/",
            session=session,
            clock=clock,
            tokens=ServiceTokens(issuer, clock=clock),
            breaker=breaker,
        )
        yield Near(client, breaker, issuer, clock)


async def test_a_call_carries_our_token_the_request_id_and_whom_we_act_for() -> None:
    async with far(status(200)) as it, near(it) as us:
        token = request_id.set("req_1")
        try:
            answer = await us.client.request(
                "POST", "/a", json={"a": "ä"}, params={"q": "x y&z"}, on_behalf_of="usr_1"
            )
        finally:
            request_id.reset(token)
        (request,) = it.requests
        assert (answer.ok, answer.body) == (True, {"status": 200})
        assert request.headers["Authorization"] == "Bearer chat-token-1"
        assert request.headers["X-Request-Id"] == "req_1"
        assert request.headers["X-On-Behalf-Of"] == "usr_1"
        assert (request.path, request.query["q"]) == ("/a", "x y&z")
        assert it.bodies == ['{"a":"ä"}'.encode()]


async def test_an_answer_below_500_is_returned_and_no_redirect_followed() -> None:
    async with far(status(404), status(302, Location="http://127.0.0.1:9/")) as it, near(it) as us:
        assert (await us.client.request("GET", "/a")).status == 404
        assert (await us.client.request("GET", "/a")).status == 302


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_5xx_means_unavailable_and_is_asked_once(code: int) -> None:
    async with far(status(code, **{"Retry-After": "7"})) as it, near(it) as us:
        with pytest.raises(UnavailableError) as caught:
            await us.client.request("GET", "/a")
        assert (caught.value.dependency, caught.value.headers["Retry-After"]) == ("chat", "7")
        assert len(it.requests) == 1


@pytest.mark.parametrize("value", ["9" * 5000, "soon", "-1", "٣"])
async def test_an_absurd_retry_after_is_not_passed_on(value: str) -> None:
    async with far(status(503, **{"Retry-After": value})) as it, near(it) as us:
        with pytest.raises(UnavailableError) as caught:
            await us.client.request("GET", "/a")
        assert caught.value.headers["Retry-After"] == "5"


@pytest.mark.parametrize("first", [status(503), drop], ids=["503", "connection lost"])
async def test_what_passes_is_tried_again_only_when_asked(first: Handler) -> None:
    async with far(first, status(200)) as it, near(it) as us:
        assert (await us.client.request("POST", "/a", json={}, retry=True)).ok
        assert len(it.requests) == 2
    async with far(first, status(200)) as it, near(it) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("POST", "/a", json={})
        assert len(it.requests) == 1


async def test_it_is_tried_three_times_at_most_and_never_after_a_500() -> None:
    async with far(status(503)) as it, near(it, failures=9) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("GET", "/a", retry=True)
        assert len(it.requests) == 3
    async with far(status(500)) as it, near(it) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("GET", "/a", retry=True)
        assert len(it.requests) == 1


async def test_an_answer_that_does_not_come_ends_at_the_deadline() -> None:
    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with far(hang) as it, near(it) as us, asyncio.timeout(2):
        with pytest.raises(UnavailableError) as caught:
            await us.client.request("GET", "/a", deadline=0.1, retry=True)
        assert caught.value.dependency == "chat"
        assert len(it.requests) == 1


async def test_nobody_listening_means_unavailable() -> None:
    async with far(status(200)) as it:
        gone = it
    async with near(gone) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("GET", "/a")


async def test_the_breaker_opens_without_further_calls_and_recovers() -> None:
    async with far(status(503), status(503), status(503), status(200)) as it, near(it) as us:
        for _ in range(10):
            with pytest.raises(UnavailableError):
                await us.client.request("GET", "/a", retry=False)
        assert len(it.requests) == 3
        us.clock.advance(10)
        for _ in range(3):
            assert (await us.client.request("GET", "/a")).ok
        assert len(it.requests) == 6


async def test_callers_who_are_cancelled_do_not_open_the_breaker() -> None:
    entered = asyncio.Event()

    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with far(*[hang] * 5, status(200)) as it, near(it) as us:
        for _ in range(5):
            entered.clear()
            call = asyncio.create_task(us.client.request("GET", "/a"))
            await entered.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await us.client.request("GET", "/a")).ok


async def test_a_500_of_one_call_does_not_close_the_service_to_the_others() -> None:
    async with far(*[status(500)] * 10, status(200)) as it, near(it) as us:
        for _ in range(10):
            with pytest.raises(UnavailableError):
                await us.client.request("GET", "/poison")
        assert (await us.client.request("GET", "/a")).ok


async def test_a_refused_token_is_forgotten_and_the_next_call_has_another() -> None:
    async with far(status(401), status(200)) as it, near(it) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("POST", "/a", json={})
        assert (await us.client.request("POST", "/a", json={})).ok
        tokens = [request.headers["Authorization"] for request in it.requests]
        assert tokens == ["Bearer chat-token-1", "Bearer chat-token-2"]


async def test_auths_absence_is_auths_and_does_not_open_this_breaker() -> None:
    async with far(status(200)) as it, near(it) as us:
        us.issuer.hangs = True
        for _ in range(5):
            with pytest.raises(UnavailableError) as caught:
                await us.client.request("GET", "/a", deadline=0.02)
            assert caught.value.dependency == "auth"
        assert not us.breaker.is_open
        assert it.requests == []


async def test_an_answer_that_is_not_the_json_it_says_is_none() -> None:
    async def lie(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="application/json")

    async with far(lie) as it, near(it) as us:
        with pytest.raises(UnavailableError):
            await us.client.request("GET", "/a")


async def test_a_stream_is_read_as_it_comes_and_closed_at_the_end_of_the_block() -> None:
    left = asyncio.Event()

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport is not None
        await until(request.transport.is_closing)
        left.set()
        return response

    async with far(stream) as it, near(it) as us, asyncio.timeout(5):
        async with us.client.stream("/a", headers={"Last-Event-ID": "s.1"}) as response:
            assert await response.content.readany() == b"data: 1\n\n"
        await left.wait()
        assert it.requests[0].headers["Last-Event-ID"] == "s.1"


async def test_a_silent_stream_ends_at_its_idle_deadline() -> None:
    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"1")
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        far(stream) as it,
        near(it) as us,
        asyncio.timeout(5),
        us.client.stream("/a", idle_deadline=0.05) as response,
    ):
        assert await response.content.readany() == b"1"
        with pytest.raises(aiohttp.SocketTimeoutError):
            await response.content.readany()


@pytest.mark.parametrize("code", [401, 500, 503])
async def test_a_stream_whose_head_is_no_answer_means_unavailable(code: int) -> None:
    async with far(status(code), status(200)) as it, near(it) as us:
        with pytest.raises(UnavailableError):
            async with us.client.stream("/a"):
                pytest.fail("there is nothing to read")
        async with us.client.stream("/a") as response:
            assert response.status == 200
        assert us.issuer.granted == (2 if code == 401 else 1)
