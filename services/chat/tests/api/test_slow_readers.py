"""Readers that are too slow: told, or cut, and nobody else notices."""

import pytest
from chat_builders import NUMBERED, OBSERVE, Caller, Reading, Surroundings, numbers_of, run_chat
from narrow_readers import buffered, narrow_reader
from waiting import eventually

from aula_common.ids import new_id
from aula_devstack.sse_client import SseEvent

DENSE = {"chunk_seconds": 0}  # as many events as deltas, which fill a buffer soon
LONG = "[[pace=3 tokens=1900]] Explain rain."
STALLED = 700  # chunks that come while a reader takes none: some 90 KB
BUFFER = 16 * 1024  # less than what such a stall leaves behind, more than a busy machine does
HELD_BYTES = 64 * 1024  # more than a process may hold for one reader


def fields(events: list[SseEvent]) -> list[tuple[str, str, str]]:
    return [(event.id, event.event, event.data) for event in events]


async def stop(student: Caller, session_id: str, reading: Reading) -> list[SseEvent]:
    """End the answer; its whole events, without what readers are told besides."""
    await student.stop(session_id)
    whole = [event for event in await reading.to_end() if event.event in NUMBERED]
    assert whole[-1].json()["status"] == "stopped"
    assert numbers_of(whole) == list(range(1, len(whole) + 1))
    return whole


@pytest.mark.parametrize("here", [True, False], ids=["at its process", "at another"])
async def test_a_reader_that_stalls_is_told_and_comes_back_without_gap_or_repeat(
    around: Surroundings, *, here: bool
) -> None:
    async with (
        run_chat(around, **DENSE, reader_buffer_bytes=BUFFER) as chat,
        run_chat(around, **DENSE) as another,
    ):
        student = await (chat if here else another).student()
        session_id = await student.new_session()
        reader = chat.person(student.id)
        path = f"/api/chat/sessions/{session_id}/stream"
        async with student.asking(session_id, LONG) as reading:
            await reading.until_seen("chunk")
            async with narrow_reader(chat, reader, path) as slow:
                await slow.read()
                await reading.until_seen("chunk", STALLED)
                told = await slow.read_all()
            assert told[-1].event == "reconnect"
            assert told[-1].json() == {"reason": "slow", "retryAfterMs": 1000}
            assert await chat.metric("readers_cut_total", reason="slow") == 1
            async with reader.following(session_id, told[-2].id) as back:
                await back.until_seen("chunk")
                whole = await stop(student, session_id, reading)
                assert fields([*told[:-1], *await back.to_end()]) == fields(whole)


async def test_an_observer_that_stalls_is_told(around: Surroundings) -> None:
    async with run_chat(around, **DENSE, reader_buffer_bytes=BUFFER) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}/observe?observationId={new_id('obs')}"
        async with student.asking(session_id, LONG) as reading:
            await reading.until_seen("chunk")
            async with narrow_reader(chat, chat.service(*OBSERVE), path) as slow:
                while not any(event.event == "chunk" for event in slow.events):
                    await slow.read()
                await reading.until_seen("chunk", STALLED)
                told = await slow.read_all()
            await stop(student, session_id, reading)
        assert (told[-1].event, told[-1].json()["reason"]) == ("reconnect", "slow")
        mirrored = [event for event in told if event.event in {"start", "model", "chunk"}]
        assert numbers_of(mirrored) == list(range(1, len(mirrored) + 1))


async def test_a_reader_that_reads_nothing_is_cut_and_nobody_else_notices(
    around: Surroundings,
) -> None:
    async with run_chat(around, **DENSE, reader_send_seconds=0.5) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}/stream"
        held = 0
        async with student.asking(session_id, LONG) as reading:
            await reading.until_seen("chunk")
            async with narrow_reader(chat, student, path) as stuck:
                assert await chat.metric("readers", kind="own") == 2

                async def is_cut() -> bool:
                    nonlocal held
                    held = max(held, *buffered(chat))
                    await reading.until_seen("chunk", reading.names.count("chunk") + 1)
                    return await chat.metric("readers_cut_total", reason="stuck") == 1

                await eventually(is_cut)
                await stuck.read_all()
            whole = await stop(student, session_id, reading)
        assert 0 < held < HELD_BYTES
        assert 0 < stuck.received < sum(len(event.data) for event in whole)

        async def no_reader() -> bool:
            return await chat.metric("readers", kind="own") == 0

        await eventually(no_reader)


async def test_a_reader_that_catches_up_slowly_with_a_long_answer_is_left_alone(
    around: Surroundings,
) -> None:
    async with run_chat(around, **DENSE, reader_buffer_bytes=BUFFER) as chat:
        student = await chat.student()
        session_id = await student.new_session()
        path = f"/api/chat/sessions/{session_id}/stream"
        async with student.asking(session_id, LONG) as reading:
            await reading.until_seen("chunk", STALLED)
            async with narrow_reader(chat, student, path) as late:
                # each piece while the answer goes on; with what is on its way it is never level
                while late.received < 24 * 1024:
                    seen = reading.names.count("chunk")
                    assert await late.read()
                    await reading.until_seen("chunk", seen + 20)
                assert max(buffered(chat)) < HELD_BYTES
                whole = await stop(student, session_id, reading)
                await late.read_all()
        assert fields(late.events) == fields(whole)
        assert await chat.metric("readers_cut_total", reason="slow") == 0
