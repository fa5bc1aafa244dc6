"""The student is told how many observe, wherever they do; nobody else, and it is not kept."""

from chat_builders import OBSERVE, UNENDING, Reading, Surroundings, numbers_of, run_chat
from pymongo import AsyncMongoClient

from aula_common.ids import new_id

UNRENEWED = 120.0  # longer than the test, in which nobody renews an observation


def counts(reading: Reading) -> list[int]:
    """What was told, in order."""
    return [event.json()["count"] for event in reading.events if event.event == "observers"]


def watch(session_id: str) -> str:
    return f"/api/chat/sessions/{session_id}/observe?follow=true&observationId={new_id('obs')}"


async def told(reading: Reading, count: int) -> None:
    """Wait until the reader knows of so many."""
    await reading.until(lambda now: counts(now)[-1:] == [count])


async def test_the_students_readers_are_told_of_observers_at_every_replica(
    around: Surroundings,
) -> None:
    async with (
        run_chat(around, observation_seconds=UNRENEWED) as chat,
        run_chat(around, observation_seconds=UNRENEWED) as second,
    ):
        student = await chat.student(credits=10_000)
        session_id = await student.new_session()
        here, there = (process.service(*OBSERVE) for process in (chat, second))
        async with student.asking(session_id, UNENDING) as reading:
            await reading.until_seen("chunk")
            assert counts(reading) == []
            async with there.reading("GET", watch(session_id)) as observer:
                await told(reading, 1)
                async with (
                    here.reading("GET", watch(session_id)) as other,
                    second.person(student.id).following(session_id) as tab,
                ):
                    await other.until_seen("chunk")
                    await told(reading, 2)
                    await told(tab, 2)
                await told(reading, 1)
                await student.stop(session_id)
                events = await reading.to_end()
                await observer.until_seen("complete")
                assert counts(observer) == counts(other) == []
        assert numbers_of(events) == list(range(1, len(numbers_of(events)) + 1))
        seen = await student.follow(session_id, events[0].id)
        assert numbers_of(seen) == numbers_of(events)[1:]
        await nothing_of_it_is_kept(around)


async def nothing_of_it_is_kept(around: Surroundings) -> None:
    async with AsyncMongoClient[dict[str, object]](around.mongo_uri) as client:
        database = client.get_default_database()
        for name in await database.list_collection_names():
            async for document in database[name].find():
                assert "observers" not in str(document)
