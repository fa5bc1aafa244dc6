"""What a reader is told beside the numbered events."""

import asyncio
from collections.abc import AsyncGenerator

from stream_builders import chunk
from waiting import until

from aula_chat.domain.events import data_of, event_frame, split_frames
from aula_chat.services.stream_view import StreamView, follow


def named(data: bytes) -> list[str | int]:
    """The events' names; of `trimmed` how many messages it says."""
    events = map(data_of, split_frames(data))
    return [data["droppedMessages"] if event == "trimmed" else event for event, data in events]


async def rest(reader: AsyncGenerator[bytes, None]) -> list[str | int]:
    async with asyncio.timeout(5):
        return named(b"".join([piece async for piece in reader]))


def ended(view: StreamView) -> StreamView:
    view.append(chunk("str_a", 1, "x"))
    view.release(view.append(event_frame("str_a", 2, "complete", {})))
    return view


async def test_every_reader_is_told_first_what_was_left_out() -> None:
    view = StreamView("str_a")
    view.trim(7)
    ended(view)
    assert await rest(follow(view)) == [7, "chunk", "complete"]
    assert await rest(follow(view, 1)) == [7, "complete"]
    assert await rest(follow(view, 2)) == []


async def test_readers_of_a_whole_conversation_are_told_nothing() -> None:
    assert await rest(follow(ended(StreamView("str_a")))) == ["chunk", "complete"]


async def test_a_waiting_reader_is_told_at_once_when_it_becomes_more() -> None:
    view = StreamView("str_a")
    view.trim(2)
    reader = follow(view)
    assert named(await anext(reader)) == [2]
    waiting = asyncio.create_task(anext(reader), name="wait for news")
    await until(lambda: len(view._waiting) > 0)
    view.trim(2)
    view.trim(9)
    async with asyncio.timeout(5):
        assert named(await waiting) == [9]
    assert await rest(follow(ended(view))) == [9, "chunk", "complete"]
    assert await rest(reader) == ["chunk", "complete"]


async def test_what_changes_while_a_reader_is_told_is_told_too() -> None:
    view = StreamView("str_a")
    view.trim(2)
    reader = follow(view)
    assert named(await anext(reader)) == [2]
    view.trim(9)
    ended(view)
    assert await rest(reader) == [9, "chunk", "complete"]
