"""What happens in the demo, and what was seen of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aula_devstack.demo.actors import Actor, signed_in
from aula_devstack.errors import DevstackError
from aula_devstack.people import DemoPeople
from aula_devstack.sse_client import SseEvent

QUESTION = "Why is the sky blue, and why are sunsets red? Please explain it step by step."
APPEARS_WITHIN = 15.0
SETTLED_WITHIN = 30.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Outcome:
    """Everything that the proof compares. Credits are integers."""

    student_text: str
    supervisor_text: str
    stored_text: str
    before: int
    held_during: int
    charge: int
    after: int
    held_after: int
    entries: tuple[dict[str, Any], ...]

    def failures(self) -> list[str]:
        """What is not as it must be; empty when the proof holds."""
        checks = {
            "the student saw no text": bool(self.student_text),
            "the student and the supervisor saw different texts": (
                self.student_text == self.supervisor_text
            ),
            "what is stored is not what the student saw": self.student_text == self.stored_text,
            "no credits were held while the answer streamed": self.held_during > 0,
            f"{self.before} - {self.charge} is not {self.after}": (
                self.before - self.charge == self.after
            ),
            f"{self.held_after} credits are still held": self.held_after == 0,
            f"the ledger's charges are not {self.charge}": self.charge
            == sum(entry["amount"] for entry in self.entries if entry["kind"] == "charge"),
        }
        return [text for text, holds in checks.items() if not holds]


class Story:
    """One run. `show_student` and `show_supervisor` get each piece of text as it arrives."""

    def __init__(
        self,
        *,
        student: Actor,
        supervisor: Actor,
        show_student: Callable[[str], None],
        show_supervisor: Callable[[str], None],
    ) -> None:
        self._student = student
        self._supervisor = supervisor
        self._show_student = show_student
        self._show_supervisor = show_supervisor
        self._held_during = 0

    async def run(self) -> Outcome:
        """Stream, watch, settle, compare. Raises DevstackError when a part of it is refused."""
        before = await self._student.get("/api/accounting/credits")
        session = await self._student.post(
            "/api/chat/sessions", {"title": "The colours of the sky"}
        )
        session_id = session["sessionId"]
        async with asyncio.TaskGroup() as tasks:
            streamed = tasks.create_task(self._stream(session_id))
            observed = tasks.create_task(self._observe(session_id))
        student_text, complete = streamed.result()
        after = await self._settled()
        messages = await self._student.get(f"/api/chat/sessions/{session_id}/messages")
        stored = [
            message for message in messages["messages"] if message["id"] == complete["messageId"]
        ]
        entries = await self._entries(complete["streamingSessionId"])
        return Outcome(
            student_text=student_text,
            supervisor_text=observed.result(),
            stored_text="".join(message["content"] for message in stored),
            before=before["available"],
            held_during=self._held_during,
            charge=complete["credits"],
            after=after["available"],
            held_after=after["held"],
            entries=entries,
        )

    async def _entries(self, streaming_session_id: str) -> tuple[dict[str, Any], ...]:
        """What the ledger says of this answer, oldest first."""
        ledger = await self._student.get("/api/accounting/ledger", limit="100")
        of_this = [row for row in ledger["entries"] if row["sessionId"] == streaming_session_id]
        return tuple(reversed(of_this))

    async def _stream(self, session_id: str) -> tuple[str, dict[str, Any]]:
        """The text that the student saw, and the data of the terminal event."""
        text, first = "", True
        events = self._student.events(
            "POST", f"/api/chat/sessions/{session_id}/stream", {"message": QUESTION}
        )
        async for piece, terminal in _texts(events, who="the student"):
            if first and piece:
                first = False
                credits_now = await self._student.get("/api/accounting/credits")
                self._held_during = credits_now["held"]
            text += piece
            self._show_student(piece)
            if terminal is not None:
                return text, terminal
        raise DevstackError("the student's stream ended without a terminal event")

    async def _observe(self, session_id: str) -> str:
        """The text that the supervisor saw."""
        students = f"/api/monitoring/students/{self._student.user_id}"
        await self._until_running(f"{students}/streams", session_id)
        text = ""
        events = self._supervisor.events("GET", f"{students}/sessions/{session_id}/observe")
        async for piece, terminal in _texts(events, who="the supervisor"):
            text += piece
            self._show_supervisor(piece)
            if terminal is not None:
                return text
        raise DevstackError("the supervisor's stream ended without a terminal event")

    async def _until_running(self, path: str, session_id: str) -> None:
        async with asyncio.timeout(APPEARS_WITHIN):
            while True:
                running = await self._supervisor.get(path)
                if any(row["sessionId"] == session_id for row in running["streams"]):
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def _settled(self) -> dict[str, Any]:
        """The student's credits once nothing is held, or when it has taken too long."""
        deadline = asyncio.get_running_loop().time() + SETTLED_WITHIN
        while True:
            state = await self._student.get("/api/accounting/credits")
            if state["held"] == 0 or asyncio.get_running_loop().time() > deadline:
                return state
            await asyncio.sleep(LOOK_SECONDS)


async def tell(
    *,
    url: str,
    people: DemoPeople,
    show_student: Callable[[str], None],
    show_supervisor: Callable[[str], None],
) -> Outcome:
    """Sign ada and sam in at `url` and run the story."""
    async with signed_in(people.ada, url=url) as ada, signed_in(people.sam, url=url) as sam:
        return await Story(
            student=ada,
            supervisor=sam,
            show_student=show_student,
            show_supervisor=show_supervisor,
        ).run()


async def _texts(
    events: AsyncIterator[SseEvent], *, who: str
) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
    """Pieces of text; with the last one the data of the terminal event."""
    async for event in events:
        if event.event == "chunk":
            yield event.json()["text"], None
        elif event.event == "complete":
            yield "", event.json()
        elif event.event == "error":
            raise DevstackError(f"{who} got an error: {event.data}")
