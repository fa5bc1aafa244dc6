"""What ends a generation: the model, a stop, the end of the process, a lost lease, the time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from waiting import until
from writer_desk import Desk, open_desk

from aula_chat.domain.events import data_of
from aula_chat.domain.language_models import (
    Finish,
    FinishReason,
    ModelEvent,
    Prompt,
    ProviderInterruptedError,
    ProviderReason,
    TextDelta,
)
from aula_chat.domain.messages import MessageStatus
from aula_chat.domain.prompts import Conversation
from aula_chat.domain.streams import Outcome, Phase, Stream, StreamCode, intent_of
from aula_chat.services.conclusions import Conclusions
from aula_chat.services.generation import Generator
from aula_chat.services.live_streams import LiveStream

LONG = 3600.0
STOPPED = (MessageStatus.STOPPED, None)
INTERRUPTED = (MessageStatus.INTERRUPTED, StreamCode.INTERRUPTED)
FAILED = (MessageStatus.INTERRUPTED, StreamCode.ERROR)
TIMED_OUT = (MessageStatus.INTERRUPTED, StreamCode.TIMEOUT)
WHOLE = (MessageStatus.COMPLETE, None)
NOTHING = None


class Model:
    """Says one word, then does as it is told; `left` counts the times that it was left in order."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self._then = then
        self.spoken = False
        self.left = 0

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        assert prompt.turns
        try:
            self.spoken = True
            yield TextDelta("Well")
            await self._then()
            yield Finish(FinishReason.STOP)
        finally:
            self.left += 1


class Ends:
    """Stands for conclusions: keeps how a stream ended, and whether it was withdrawn."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.withdrawn = False

    async def conclude(self, stream: Stream, outcome: Outcome, *, last_number: int) -> Stream:
        self.outcome = outcome
        return replace(
            stream,
            phase=Phase.ENDED,
            live=False,
            outcome=outcome,
            intent=intent_of(outcome, stream.reservation),
            last_number=last_number,
        )

    async def withdraw(self, lost: Stream) -> None:
        assert lost.live
        self.withdrawn = True


class Scene:
    """A generation at work on the desk's stream."""

    def __init__(
        self,
        desk: Desk,
        then: Callable[[], Awaitable[None]],
        *,
        longest: float = LONG,
        model: type[Model] = Model,
    ) -> None:
        self.live = desk.live
        self.model = model(then)
        self.ends = Ends()
        self.generator = Generator(
            model=self.model,
            accounts=cast("Any", None),  # asked for nothing before the first report
            conclusions=cast("Conclusions", self.ends),
            writer=desk.writer,
            fences=desk.fences,
            clock=desk.clock,
            max_duration=longest,
            progress_every=LONG,
        )

    def run(self) -> Coroutine[Any, Any, None]:
        return self.generator.run(self.live, Conversation(turns=(), earlier=0, last_position=0))

    def ended(self) -> tuple[MessageStatus, StreamCode | None] | None:
        """How; None if it was not this process that ended it."""
        assert self.model.left == self.model.spoken  # its connection is given back in each case
        told = self.ends.outcome
        if told is None:
            assert self.ends.withdrawn
            assert self.live.view.abandoned
            return None
        assert told.text == ("Well" if self.model.spoken else "")
        return told.status, told.code


async def hang() -> None:
    await asyncio.Event().wait()


async def end() -> None:
    """As it is."""


async def time_out_by_itself() -> None:
    raise TimeoutError


async def stumble_when_left() -> None:
    try:
        await hang()
    finally:
        raise ProviderInterruptedError(provider="bedrock", reason=ProviderReason.CUT)


async def linger_when_left() -> None:
    try:
        await hang()
    finally:
        await asyncio.sleep(0.01)


def stop_then_lose(live: LiveStream) -> None:
    live.ask_stop()
    live.lose()


def interrupt_then_stop(live: LiveStream) -> None:
    live.interrupt()
    live.ask_stop()


HALTS: dict[str, tuple[Callable[[LiveStream], None], tuple[MessageStatus, Any] | None]] = {
    "stop": (LiveStream.ask_stop, STOPPED),
    "interruption": (LiveStream.interrupt, INTERRUPTED),
    "loss": (LiveStream.lose, NOTHING),
    "stop, then loss": (stop_then_lose, NOTHING),
    "interruption, then stop": (interrupt_then_stop, STOPPED),
}


@pytest.mark.parametrize("then", [hang, stumble_when_left, linger_when_left])
@pytest.mark.parametrize("halt", HALTS)
async def test_it_is_cut_amid_an_answer(halt: str, then: Callable[[], Awaitable[None]]) -> None:
    async with open_desk() as desk:
        scene = Scene(desk, then)
        act, wanted = HALTS[halt]
        running = asyncio.create_task(scene.run())
        await until(lambda: scene.live.logged >= 3)  # start, model, chunk
        act(scene.live)
        await asyncio.sleep(0.001)
        act(scene.live)  # again while it is leaving, which takes no harm
        await running
        assert scene.ended() == wanted
        act(scene.live)  # nor does what is past


@pytest.mark.parametrize("halt", HALTS)
async def test_it_is_cut_before_it_began(halt: str) -> None:
    async with open_desk() as desk:
        scene = Scene(desk, hang)
        act, wanted = HALTS[halt]
        act(scene.live)
        await scene.run()
        assert scene.ended() == wanted


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("halt", HALTS)
async def test_what_is_whole_when_it_is_cut_is_kept_whole_by_its_owner(
    halt: str,
    deaf: bool,  # noqa: FBT001
) -> None:
    async with open_desk() as desk:
        act, wanted = HALTS[halt]

        async def is_cut_at_its_last_word() -> None:
            act(desk.live)
            if deaf:
                with suppress(asyncio.CancelledError):
                    await hang()

        scene = Scene(desk, is_cut_at_its_last_word)
        await scene.run()
        assert scene.ended() == (wanted and WHOLE)


async def test_an_answer_without_an_end_is_cut_before_it_is_too_long_to_be_stored() -> None:
    class Endless(Model):
        async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
            assert prompt.turns
            while True:
                yield TextDelta("ä" * 300_000)

    async with open_desk() as desk:
        scene = Scene(desk, end, model=Endless)
        await scene.run()
        told = scene.ends.outcome
        assert told is not None
        assert (told.status, told.code) == FAILED
        assert told.text == "ä" * 900_000
        shown = [data_of(frame) for frame in desk.live.view.frames]
        assert "".join(data["text"] for event, data in shown if event == "chunk") == told.text


@pytest.mark.parametrize(
    ("then", "longest", "wanted"),
    [(end, LONG, WHOLE), (hang, 0.01, TIMED_OUT), (time_out_by_itself, LONG, FAILED)],
)
async def test_it_ends_by_itself_or_by_its_time(
    then: Callable[[], Awaitable[None]], longest: float, wanted: object
) -> None:
    async with open_desk() as desk:
        scene = Scene(desk, then, longest=longest)
        await scene.run()
        assert scene.ended() == wanted


@pytest.mark.parametrize(("lost", "wanted"), [(False, INTERRUPTED), (True, NOTHING)])
async def test_a_cancelled_task_still_ends_its_stream(lost: bool, wanted: object) -> None:  # noqa: FBT001
    async with open_desk() as desk:
        scene = Scene(desk, hang)
        running = asyncio.create_task(scene.run())
        await until(lambda: scene.live.logged >= 3)
        if lost:
            scene.live.lose()
        running.cancel()
        if lost:
            with pytest.raises(asyncio.CancelledError):
                await running
            assert scene.ends.outcome is None
        else:
            await running
            assert scene.ended() == wanted
