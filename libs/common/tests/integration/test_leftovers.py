"""What an answered request leaves to the garbage collector: nothing.

A full collection stops every stream of a process, for as long as its objects are many.
"""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from common_builders import build_app, connected, get, read_answer, serve, until
from fastapi import APIRouter
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from aula_common.web.sse import EventStreamResponse, Outlet, sse_frame

_REQUESTS = 5


@pytest.fixture
def uncollected() -> Iterator[Callable[[], Counter[type]]]:
    """How many requests, answers and outlets there are, while nothing is collected.

    Nor is anything before: what other tests have left is none of this one's.
    """
    gc.disable()
    kinds = {RequestResponseCycle, EventStreamResponse, Outlet}
    # not by isinstance, to which a proxy of what has gone is an error
    yield lambda: Counter(kind for one in gc.get_objects() if (kind := type(one)) in kinds)
    gc.enable()


@pytest.mark.parametrize("path", ["/plain", "/events"])
async def test_an_answered_request_is_gone_with_its_connection(
    uncollected: Callable[[], Counter[type]], path: str
) -> None:
    router = APIRouter()

    @router.get("/plain")
    async def plain() -> int:
        return 1

    @router.get("/events")
    async def events() -> EventStreamResponse:
        outlet = Outlet()

        async def chunks() -> AsyncIterator[bytes]:
            yield sse_frame("start")
            assert outlet.take(sse_frame("past the iterator"))

        return EventStreamResponse(chunks(), outlet=outlet)

    async with serve(build_app(router)) as port:
        before = uncollected()
        for _ in range(_REQUESTS):
            async with connected(port, get(path)) as reader:
                assert (await read_answer(reader))[0] == 200
        await until(lambda: uncollected() <= before)
