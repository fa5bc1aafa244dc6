"""The order in which a stream ends, with each step failing once."""

from collections.abc import Sequence
from typing import Any

import pytest
from quick_clock import QuickClock
from stream_builders import outcome, stream

from aula_chat.domain.errors import FenceLostError
from aula_chat.domain.messages import Message
from aula_chat.domain.streams import Phase, Settlement, Stream
from aula_chat.services.conclusions import Conclusions
from aula_chat.services.settlements import Settlements
from aula_common.errors import UnavailableError

IDS = {"question_id": "msg_question", "answer_id": "msg_answer"}
FENCE = 1  # of a stream that nobody took


class Recorder:
    """Stands for all that a conclusion writes to; `fails` and `loses_answer` name one step."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.fails: dict[str, int] = {}
        self.loses_answer: dict[str, int] = {}
        self.live = True
        self.charge: int | None = 3
        self.credits: int | None = None

    def note(self, step: str) -> None:
        if self.fails.get(step, 0):
            self.fails[step] -= 1
            raise UnavailableError("the database")
        self.steps.append(step)

    def answer(self, step: str) -> None:
        if self.loses_answer.get(step, 0):
            self.loses_answer[step] -= 1
            raise UnavailableError("the database")

    async def end(self, _ended: Stream, **_: Any) -> bool:
        self.note("end")
        stored = self.live
        self.answer("end")
        return stored

    async def release(self, _ended: Stream, **_: Any) -> bool:
        self.note("release")
        self.live = False
        self.answer("release")
        return True

    async def publish(self, ended: Stream, messages: Sequence[Message], **_: Any) -> bool:
        assert ended.fence == FENCE
        assert [one.id for one in messages] == [ended.question_id, ended.answer_id]
        self.credits = messages[1].metadata.get("credits")
        self.note("publish")
        self.live = False
        self.answer("publish")
        return True

    async def withdraw(self, message_ids: Sequence[str], *, fence: int) -> None:
        assert fence == FENCE
        assert set(message_ids) <= set(IDS.values())
        self.note("withdraw")

    async def settle(self, *_: Any) -> Settlement | None:
        self.note("settle")
        return Settlement(credits=3, status="completed") if self.charge is not None else None


def conclusions_over(recorder: Any) -> Conclusions:
    clock = QuickClock()
    settlements = Settlements(
        accounts=recorder,
        streams=recorder,
        messages=recorder,
    )
    return Conclusions(
        streams=recorder,
        messages=recorder,
        turns=recorder,
        settlements=settlements,
        clock=clock,
        lease_seconds=30,
    )


ORDER = ["end", "settle", "publish"]


async def test_the_steps_come_in_the_order_that_no_crash_can_hurt() -> None:
    recorder = Recorder()
    ended = await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert recorder.steps == ORDER
    assert (ended.phase, ended.live, ended.last_number) == (Phase.ENDED, False, 6)
    assert ended.settlement == Settlement(credits=3, status="completed")
    assert recorder.credits == 3


@pytest.mark.parametrize("step", [step for step in ORDER if step != "settle"])
async def test_a_step_that_fails_once_is_repeated_and_what_follows_waits_for_it(step: str) -> None:
    recorder = Recorder()
    recorder.fails[step] = 1
    ended = await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert not ended.live
    assert recorder.steps.count("end") == 1
    first = {name: recorder.steps.index(name) for name in ORDER}
    assert sorted(ORDER, key=first.__getitem__) == ORDER
    assert recorder.steps[-1] == "publish"


@pytest.mark.parametrize("step", ["end", "publish"])
async def test_a_lost_acknowledgement_is_not_taken_for_a_lost_fence(step: str) -> None:
    recorder = Recorder()
    recorder.loses_answer[step] = 1
    ended = await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert ended.settlement is not None


async def test_accounting_away_leaves_the_settlement_pending_and_frees_the_session() -> None:
    recorder = Recorder()
    recorder.fails["settle"] = 1
    ended = await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert (ended.live, ended.settlement) == (False, None)
    assert recorder.steps == ["end", "publish"]
    assert recorder.credits is None


async def test_a_stream_of_another_process_is_neither_stored_nor_settled() -> None:
    recorder = Recorder()
    recorder.live = False
    with pytest.raises(FenceLostError):
        await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert recorder.steps == ["end"]


async def test_a_database_that_stays_away_is_given_up_after_a_minute() -> None:
    recorder = Recorder()
    recorder.fails["end"] = 10_000
    with pytest.raises(UnavailableError):
        await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert 10_000 - recorder.fails["end"] == 122


async def test_a_refusal_keeps_no_message() -> None:
    recorder = Recorder()
    await conclusions_over(recorder).refuse(stream(phase=Phase.CLAIMED, **IDS), "why")
    # after the end, which refuses a beginning that is still on its way
    assert recorder.steps == ["end", "settle", "withdraw", "release"]


async def test_what_accounting_does_not_know_costs_nothing() -> None:
    recorder = Recorder()
    recorder.charge = None
    ended = await conclusions_over(recorder).conclude(stream(), outcome(), last_number=5)
    assert ended.settlement == Settlement(credits=0, status="unknown")


async def test_who_lost_a_stream_takes_back_its_messages() -> None:
    recorder = Recorder()
    recorder.fails["withdraw"] = 1
    await conclusions_over(recorder).withdraw(stream(**IDS))
    assert recorder.steps == ["withdraw"]


async def test_what_can_not_be_taken_back_holds_up_its_process_for_seconds_only() -> None:
    recorder = Recorder()
    recorder.fails["withdraw"] = 10_000
    await conclusions_over(recorder).withdraw(stream(**IDS))
    assert 10_000 - recorder.fails["withdraw"] == 12
