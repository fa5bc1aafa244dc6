"""A stream that many observe at once is shown whole to each of them."""

import asyncio
import resource

import pytest
from e2e_people import People
from many_observers import monitoring_token, observing_by_hundreds

from aula_devstack.platform import Platform

_FILES = 4096  # more than a connection for each observer


@pytest.fixture(autouse=True)
def many_files() -> None:
    """A connection is an open file, of which a shell often allows 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.deep)])
async def test_all_observers_at_two_replicas_see_the_whole_stream(
    platform: Platform, people: People, count: int
) -> None:
    second = platform.add_replica("chat")
    urls = (platform.chat.url, second.url)
    student, supervisor = await people.student(), await people.supervisor()
    token = await monitoring_token(platform, platform.url)
    session_id = await student.new_session()
    await student.ask(session_id, "[[pace=0 tokens=3]] Hi")
    try:
        async with (
            asyncio.timeout(240),
            observing_by_hundreds(
                session_id, urls=urls, token=token, supervisor_id=supervisor.id, count=count
            ) as observers,
        ):
            shown = await student.ask(session_id, "[[pace=100 tokens=80]] Tell me")
            await asyncio.gather(*(observer.ended() for observer in observers))
    finally:
        second.stop()
    assert len(shown.numbers) > 60
    seen = observers[0].numbered
    assert [frame.split(b"\n")[0] for frame in seen] == [
        f"id: {event.id}".encode() for event in shown.numbered
    ]
    assert [frame.split(b"data: ")[1] for frame in seen] == [
        event.data.encode() for event in shown.numbered
    ]
    different = [number for number, each in enumerate(observers) if each.numbered != seen]
    assert different == []
