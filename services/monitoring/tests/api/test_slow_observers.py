"""An observer that reads nothing: what waits for it is bounded, and it is cut."""

import asyncio
import gc
import socket

from monitoring_platform import SESSION, STUDENT, SUPERVISOR, Platform, until

from aula_common.sse import sse_frame
from aula_monitoring.services.channel import Channel

PATH = f"/api/monitoring/students/{STUDENT}/sessions/{SESSION}/observe"
EVENTS, TEXT = 8_000, "x" * 2_000  # 16 MB: beyond what all buffers of the kernel take


def held(platform: Platform) -> int:
    """The bytes that monitoring holds for its observers."""
    # isinstance would ask weak proxies for the class of what is gone
    waiting = sum(one._size for one in gc.get_objects() if type(one) is Channel)
    return waiting + sum(platform.server.buffered())


async def test_an_observer_that_reads_nothing_is_cut_and_holds_little_until_then(
    platform: Platform,
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    for number in range(1, EVENTS + 1):
        event_id = f"str_1.{number}"
        frame = sse_frame({"text": TEXT}, event="chunk", event_id=event_id)
        conversation.events.append((event_id, frame))
    head = "".join(f"{name}: {value}\r\n" for name, value in platform.headers(SUPERVISOR).items())
    with socket.socket() as stuck:
        stuck.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stuck, ("127.0.0.1", platform.server.port))
        await loop.sock_sendall(stuck, f"GET {PATH} HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
        await until(lambda: platform.far.observing == 1)
        most = 0

        def is_cut() -> bool:
            nonlocal most
            most = max(most, held(platform))
            return platform.far.observing == 0

        await until(is_cut)
    assert 64 * 1024 < most < 1024 * 1024
    assert [entry["reason"] for entry in await platform.ended_audit()] == ["left"]


async def test_an_observer_that_chat_found_too_slow_is_told_and_comes_back_where_it_was(
    platform: Platform,
) -> None:
    await platform.relate()
    conversation = platform.far.conversations[SESSION]
    first = await conversation.add("str_1.1", "chunk", text="blue")
    async with platform.observing() as observer:
        await observer.read_until(first)
        await platform.far.tell(SESSION, "reconnect", reason="slow", retryAfterMs=1000)
        assert (await observer.read_all()).endswith(
            b'event: reconnect\ndata: {"reason":"slow","retryAfterMs":1000}\n\n'
        )
    platform.far._last_words.clear()
    async with platform.observing(Last_Event_ID="str_1.1") as observer:
        last = await conversation.add("str_1.2", "complete", status="complete")
        await observer.read_all()
    assert observer.received == last
