"""What this process keeps of a stream, and for how long."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Gauge
from stream_builders import chunk
from waiting import until
from writer_desk import Desk, open_desk

from aula_chat.services.frames import Frames
from aula_chat.services.live_streams import Answer, LiveStreams

SOON, MUCH_LATER = 0.001, 3600


def kept(desk: Desk, *, at_hand: float = SOON, replay: float = MUCH_LATER) -> LiveStreams:
    """Those of a process, in which the desk's stream has ended."""
    made = LiveStreams(
        capacity=1,
        replay_seconds=replay,
        at_hand_seconds=at_hand,
        running=Gauge("running", "Of a test.", registry=None),
    )
    made.add(desk.live)
    desk.end()
    made.retire(desk.live)
    return made


async def test_an_ended_stream_is_left_to_its_log_soon() -> None:
    async with open_desk() as desk:
        ours = kept(desk)
        await until(lambda: ours.find(desk.live.stream.id) is None)
        assert desk.numbers() == [1]
        assert desk.live.retired


async def test_an_ended_stream_stays_until_its_log_is_whole() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        ours = kept(desk)
        await until(lambda: desk.log.refused > 20)  # when it would be gone long since
        assert ours.find(desk.live.stream.id) is desk.live
        desk.log.away = False
        await until(lambda: ours.find(desk.live.stream.id) is None)
        assert desk.numbers() == [1]


async def test_an_ended_stream_whose_log_stays_away_is_forgotten_after_the_replay_time() -> None:
    async with open_desk() as desk:
        desk.log.away = True
        ours = kept(desk, replay=10 * SOON)
        await until(lambda: ours.find(desk.live.stream.id) is None)
        assert desk.live.unlogged
        assert desk.live.retired


def test_an_answer_is_the_text_that_it_was_given_in_few_parts() -> None:
    answer = Answer("model")
    texts = [f" word{number}" for number in range(300)]
    counts = []
    for text in texts:
        answer.add(text)
        counts.append(len(answer.parts))
    assert answer.text == "".join(texts)
    assert counts[0] == 1
    assert all(1 < count <= 64 for count in counts[1:])  # only the first is the first


def some_frames(count: int = 12) -> list[bytes]:
    return [chunk("str_a", number, "x" * number) for number in range(1, count + 1)]


@pytest.fixture
def frames() -> Iterator[Frames]:
    made = Frames()
    for frame in some_frames():
        made.append(frame)
    yield made
    made.append(b"one more")  # nothing that was read of them keeps them from growing


def test_frames_are_what_was_added_one_by_one(frames: Frames) -> None:
    assert list(frames) == some_frames()
    assert frames[-1] == some_frames()[-1]
    assert frames[2:5] == some_frames()[2:5]
    with pytest.raises(IndexError):
        frames[12]


@given(after=st.integers(0, 11), more=st.integers(1, 12), limit=st.integers(0, 2000))
def test_frames_are_joined_as_far_as_a_limit_holds_them(after: int, more: int, limit: int) -> None:
    made = Frames()
    for frame in some_frames():
        made.append(frame)
    last = min(after + more, 12)
    wanted = some_frames()[after:last]
    assert made.joined(after, last) == b"".join(wanted)
    assert made.size(after, last) == sum(map(len, wanted))
    fitting = [n for n in range(1, len(wanted) + 1) if sum(map(len, wanted[:n])) <= limit]
    assert made.last_within(after, last, limit) == after + max(fitting, default=1)
