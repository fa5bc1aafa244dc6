"""What this process keeps of a stream, and for how long."""

from prometheus_client import Gauge
from waiting import until
from writer_desk import Desk, open_desk

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
