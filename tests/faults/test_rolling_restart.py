"""Two chat processes are replaced in turn under running streams: none is cut, nothing is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from e2e_people import People, Person, Shown, eventually
from fault_checks import Victim
from fault_places import Begin

from aula_devstack.sse_client import sse_events

STREAMS = 50
PACE_MS = 200
SHORT, LONG = 40, 200  # tokens: the long ones still run when the first process has been replaced
PATIENT = "90"  # seconds, more than the longest stream
_PAUSE = 0.2


class Client:
    """Someone who reads one answer to its end, at whichever process takes them."""

    def __init__(self, student: Person, session_id: str, *, urls: tuple[str, str]) -> None:
        self.student = student
        self.session_id = session_id
        self.shown = Shown()
        self.resumes = 0
        self._urls = urls

    async def ask(self, tokens: int) -> None:
        """Ask at the first process, and read to the end."""
        message = f"Tell me a story. [[tokens={tokens}]] [[pace={PACE_MS}]]"
        await self._follow("POST", self._urls[0], json={"message": message})
        await self.read()

    async def read(self) -> None:
        """Come back after the last event, at the other process each time, as often as it takes."""
        while not any(event.event in {"complete", "error"} for event in self.shown.events[-1:]):
            self._urls = self._urls[::-1]
            numbered = self.shown.numbered
            self.resumes += bool(numbered)
            after = {"Last-Event-ID": numbered[-1].id} if numbered else {}
            try:
                await self._follow("GET", self._urls[0], headers=after)
            except httpx.HTTPError:
                await asyncio.sleep(_PAUSE)  # that process is being replaced

    async def _follow(self, method: str, url: str, **request: Any) -> None:
        path = f"{url}/api/chat/sessions/{self.session_id}/stream"
        async with self.student.client.stream(method, path, **request) as answer:
            if answer.status_code != httpx.codes.OK:
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.status_code
                await asyncio.sleep(_PAUSE)
                return
            async for event in sse_events(answer):
                self.shown.events.append(event)

    async def check(self, granted: int) -> None:
        """Whole, without gap or repeat; stored as shown; charged once."""
        assert self.shown.terminal.get("status") == "complete", self.shown.terminal
        assert self.shown.numbers == list(range(1, len(self.shown.numbers) + 1))
        [_, stored] = await self.student.messages(self.session_id)
        assert stored["content"] == self.shown.text
        assert stored["status"] == "complete"
        balance = await self.student.credits()
        assert balance["held"] == 0
        assert balance["available"] == granted - self.shown.terminal["credits"]


@pytest.mark.deep
async def test_replicas_restarted_in_turn_under_fifty_streams(
    people: People, make_victim: Callable[..., Victim], cell: Begin
) -> None:
    now = cell("both replicas restarted", "P3 50 streams")
    first, second = (make_victim(DRAIN_DEADLINE=PATIENT).process for _ in range(2))
    asking, tabs, reading = [], [], []
    for number in range(STREAMS):
        student = await people.student(granted=100)
        session_id = await student.new_session()
        urls = (second.url, first.url) if number % 2 else (first.url, second.url)
        asking.append(Client(student, session_id, urls=urls))
        tabs.append(Client(student, session_id, urls=urls))
        reading.append(asyncio.create_task(asking[-1].ask(LONG if number % 2 else SHORT)))

    async def all_stream(clients: list[Client]) -> bool:
        return all(len(client.shown.numbered) > 2 for client in clients)

    await eventually(lambda: all_stream(asking))
    # each answer is read a second time, at the process that doesn't write it
    reading += [asyncio.create_task(tab.read()) for tab in tabs]
    await eventually(lambda: all_stream(tabs))
    for process in (first, second):
        running = sum(not task.done() for task in reading)
        now.check(f"struck, {running} readers", running >= STREAMS // 5)
        process.terminate()
        ended = await asyncio.to_thread(process.wait_ended, 90)
        now.check("clean end, status 0", ended and process.exit_status == 0)
        process.spawn()
        await asyncio.to_thread(process.wait_ready)  # the readers go on meanwhile
    await asyncio.wait_for(asyncio.gather(*reading), 90)

    for client, tab in zip(asking, tabs, strict=True):
        await client.check(100)
        assert [e.id for e in tab.shown.numbered] == [e.id for e in client.shown.numbered]
        assert tab.shown.text == client.shown.text
    now.check("no stream cut, whole, stored, charged", len(asking) == STREAMS)
    resumes = sum(client.resumes for client in (*asking, *tabs))
    now.check(f"{resumes} resumes without gap or repeat", resumes >= STREAMS // 5)
    admin = await people.admin()
    found = await admin.call("GET", "/api/accounting/reconciliation", 200)
    now.check("reconciliation clean", found["balanced"])
