"""Between the task that fetches and the response that sends."""

import asyncio

from aula_monitoring.services.channel import Channel


def _channel(limit: int = 10) -> tuple[Channel, list[str]]:
    left: list[str] = []
    return Channel(abandoned=lambda: left.append("left"), limit=limit), left


async def test_what_waits_arrives_in_order_and_in_one_piece() -> None:
    channel, _ = _channel()
    await channel.put(b"a")
    await channel.put(b"b")
    assert await anext(channel) == b"ab"


async def test_the_writer_waits_while_too_much_waits() -> None:
    channel, _ = _channel(limit=3)
    await channel.put(b"abc")
    second = asyncio.create_task(channel.put(b"d"))
    await asyncio.sleep(0)
    assert not second.done()
    assert await anext(channel) == b"abc"
    await second
    assert await anext(channel) == b"d"


async def test_an_end_lets_the_reader_have_the_rest_or_the_last_word_only() -> None:
    for discard, expected in ((False, b"restlast"), (True, b"last")):
        channel, _ = _channel()
        await channel.put(b"rest")
        channel.close(b"last", discard=discard)
        assert [chunk async for chunk in channel] == [expected]


async def test_a_waiting_reader_is_woken_by_the_end() -> None:
    channel, _ = _channel()
    reading = asyncio.create_task(_all(channel))
    await asyncio.sleep(0)
    channel.close(b"", discard=True)
    assert await reading == []


async def test_who_leaves_is_reported() -> None:
    channel, left = _channel()
    await channel.aclose()
    assert left == ["left"]


async def _all(channel: Channel) -> list[bytes]:
    return [chunk async for chunk in channel]
