"""The platform that a soak runs against: two chat processes, and everything else once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import broken_chat
import httpx
import pymongo
from e2e_people import People, Person, eventually, people_of
from fault_checks import Scene
from soak.schedule import REPLICAS, STUDENTS

from aula_devstack.platform import Platform
from aula_devstack.servers.process import Process
from aula_devstack.temporary import temporary_home
from aula_devstack.testing.failpoints import FailpointDirectory
from aula_devstack.testing.platform import QUICK

_CREDITS = 100_000
_REST_SECONDS = 90
_ENVIRONMENT = {**QUICK, "PROVIDER_IDLE_SECONDS": "3", "ACCESS_TOKEN_SECONDS": "3600"}
_IDLE = "aula_streams_running 0.0"


@dataclass
class World:
    """The processes and the people, and what has been counted so far."""

    platform: Platform
    failpoints: dict[str, FailpointDirectory]
    people: People
    students: list[Person]
    supervisor: Person
    counts: Counter[str] = field(default_factory=Counter)
    running: int = 0
    """Streams of the round whose readers do not know the end yet."""
    shown: int = 0
    """Events that the first readers of the round were shown."""

    @property
    def urls(self) -> dict[str, str]:
        """Of the chat processes, by name."""
        return {name: self.platform.process(name).url for name in REPLICAS}

    async def scene(self, student: Person) -> Scene:
        """The student with a new session."""
        session_id = await student.new_session()
        return Scene(self.people, student, session_id, (await student.credits())["available"])

    async def start(self, process: Process) -> None:
        """Start it again and wait until it is ready; the streams go on meanwhile."""
        process.spawn()
        await asyncio.to_thread(process.wait_ready)

    async def come_to_rest(self) -> None:
        """Wait until nothing runs, is held or is unsettled; AssertionError says what still does."""
        found: list[str] = []

        async def at_rest() -> bool:
            found[:] = await self._unrest()
            return not found

        try:
            await eventually(at_rest, within=_REST_SECONDS)
        except AssertionError as never:
            raise AssertionError(f"never at rest: {', '.join(found)}") from never

    async def _unrest(self) -> list[str]:
        try:
            admin = await self.people.admin()
            ledger = await admin.client.get("/api/accounting/reconciliation")
            metrics = {
                name: (await admin.client.get(f"{url}/metrics")).text
                for name, url in self.urls.items()
            }
        except httpx.HTTPError as error:
            return [f"{type(error).__name__} {error}"]
        if ledger.status_code != httpx.codes.OK:
            return [f"the ledger answers {ledger.status_code}"]
        assert ledger.json()["balanced"], f"reconciliation: {ledger.text}"
        held = ledger.json()["totals"]["held"]
        return [
            *([f"{held} credits are held"] if held else []),
            *(f"{name} runs streams" for name, text in metrics.items() if _IDLE not in text),
            *await asyncio.to_thread(self._unfinished),
        ]

    def _unfinished(self) -> list[str]:
        with pymongo.MongoClient[dict[str, Any]](self.platform.mongo.url) as client:
            streams = client["aula_chat"]["streams"]
            return [
                f"stream {found['_id']} is {state}"
                for state in ("live", "unsettled")
                for found in streams.find({state: True}, {"_id": 1})
            ]


@contextmanager
def started_platform() -> Iterator[tuple[Platform, dict[str, FailpointDirectory]]]:
    """A platform of its own with a second chat process; both have failpoints.

    The second one breaks the promise that `broken_chat` is asked to break, if it is.
    """
    with temporary_home("aula-soak-") as home:
        failpoints = {name: FailpointDirectory(home / f"failpoints-{name}") for name in REPLICAS}
        first, second = (failpoints[name].environment for name in REPLICAS)
        platform = Platform(
            home=home / "platform", environment=_ENVIRONMENT, service_environment={"chat": first}
        )
        try:
            platform.start()
            breach = broken_chat.environment()
            platform.add_replica(
                "chat",
                environment={**second, **breach},
                module=broken_chat.__name__ if breach else None,
            )
            yield platform, failpoints
        finally:
            platform.stop()


@asynccontextmanager
async def populated(
    platform: Platform, failpoints: dict[str, FailpointDirectory]
) -> AsyncIterator[World]:
    """The platform with students who have credits, and a supervisor of all of them."""
    async with people_of(platform) as people:
        students = [await people.student(granted=_CREDITS) for _ in range(STUDENTS)]
        supervisor = await people.supervisor()
        for student in students:
            await people.relate(supervisor, student)
        yield World(platform, failpoints, people, students, supervisor)
