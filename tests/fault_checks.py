"""What must hold after any fault: the same checks for every cell of the table."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import redis
from e2e_people import People, Person, Shown, eventually

from aula_devstack.platform import Platform
from aula_devstack.servers.service import Service
from aula_devstack.sse_client import SseParser
from aula_devstack.testing.failpoints import FailpointDirectory

STORY = "Tell me a story. [[tokens=60]] [[pace=20]]"
_NEXT = "And then? [[clear]] [[tokens=5]]"
MODEL = "anthropic.claude-3-sonnet-20240229-v1:0"


@dataclass
class Victim:
    """A chat process of its own that can be made to fail; the gateway's survives it."""

    process: Service
    failpoints: FailpointDirectory


@dataclass(frozen=True)
class Place:
    """A failpoint, the phase it stands for, and which time it is reached that counts."""

    phase: str
    name: str
    times: int = 1

    def __str__(self) -> str:
        return self.phase.replace(" ", "-")

    def arm(self, victim: Victim, action: str) -> None:
        """Have the victim fail there."""
        victim.failpoints.arm(self.name, f"{action}@{self.times}")


@dataclass
class Cell:
    """One fault at one phase, and what was checked of it."""

    fault: str
    phase: str
    checked: list[str] = field(default_factory=list)

    def check(self, what: str, holds: object) -> None:
        """Note a check; AssertionError if it does not hold."""
        assert holds, f"{self.fault} at {self.phase}: {what}"
        self.checked.append(what)

    async def reach(self, what: str, check: Callable[[], Awaitable[Any]]) -> Any:
        """Note what must come true, and return what the check then answers."""
        try:
            answer = await eventually(check)
        except AssertionError as never:
            raise AssertionError(f"{self.fault} at {self.phase}: {what}") from never
        self.checked.append(what)
        return answer


@dataclass
class Scene:
    """A student with a session, before the fault."""

    people: People
    student: Person
    session_id: str
    available: int
    story: str = STORY

    @classmethod
    async def set(cls, people: People, *, story: str = STORY) -> "Scene":
        """A fresh one; the story is what the student asks for."""
        student = await people.student(granted=100)
        session_id = await student.new_session()
        return cls(people, student, session_id, (await student.credits())["available"], story)

    @property
    def path(self) -> str:
        """Of the session's stream."""
        return f"/api/chat/sessions/{self.session_id}/stream"

    async def ask_at(self, base_url: str) -> Shown:
        """What a client of that process is shown, until it ends or breaks."""
        shown = Shown()
        message = {"message": self.story}
        stream = self.student.events("POST", self.path, base_url=base_url, json=message)
        try:
            async for event in stream:
                shown.events.append(event)
        except httpx.HTTPError:
            pass  # the process is gone, or answers no more
        finally:
            await stream.aclose()
        return shown

    async def attempt_at(self, base_url: str) -> httpx.Response:
        """The answer of that process to a message, read to its end, in bounded time."""
        url = f"{base_url}{self.path}"
        return await self.student.client.post(url, json={"message": self.story}, timeout=30)

    async def answer(self) -> dict[str, Any] | None:
        """The assistant's message once the session is free and its charge is known."""
        session = await self.student.call("GET", f"/api/chat/sessions/{self.session_id}", 200)
        messages = session["messages"]
        if session["metadata"]["activeStreamingSession"] or len(messages) < 2:
            return None
        answer: dict[str, Any] = messages[1]
        return answer if "credits" in answer["metadata"] else None

    async def reservation(self, stream_id: str) -> dict[str, Any]:
        """What accounting knows of a stream, with its ledger entries."""
        admin = await self.people.admin()
        path = f"/api/accounting/streaming/{stream_id}"
        found: dict[str, Any] = await admin.call("GET", path, 200)
        return found

    async def idle(self) -> bool:
        """Whether nothing streams in the session."""
        session = await self.student.call("GET", f"/api/chat/sessions/{self.session_id}", 200)
        return not session["metadata"]["activeStreamingSession"]


def check_unavailable(cell: Cell, answer: httpx.Response) -> None:
    """A clear refusal that says when to come back."""
    refused = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    cell.check("503 with Retry-After", refused and int(answer.headers["Retry-After"]) > 0)


async def check_nothing_happened(cell: Cell, scene: Scene) -> None:
    """The attempt left nothing: no message, no charge, no hold."""
    await eventually(scene.idle)
    cell.check("no message", await scene.student.messages(scene.session_id) == [])

    async def returned() -> bool:
        balance = await scene.student.credits()
        return bool(balance["available"] == scene.available and balance["held"] == 0)

    await cell.reach("full refund", returned)
    await check_goes_on(cell, scene)


async def check_kept(cell: Cell, scene: Scene, shown: Shown, platform: Platform) -> dict[str, Any]:
    """All that was shown is stored, charged once for what is stored, and nothing is held."""
    answer = await check_stored(cell, scene, shown, platform)
    await check_settled(cell, scene, answer)
    await check_goes_on(cell, scene)
    return answer


async def check_stored(
    cell: Cell, scene: Scene, shown: Shown, platform: Platform
) -> dict[str, Any]:
    """All that was shown is stored, and so is all that is in the log; the answer's message."""
    answer: dict[str, Any] = await cell.reach("settled in the end", scene.answer)
    check_shown(cell, answer, shown)
    check_log(cell, logged(platform, stream_of(answer)), answer["content"])
    return answer


def check_shown(cell: Cell, answer: dict[str, Any], shown: Shown, *, after: int = 0) -> None:
    """What a reader was shown of a stored answer, from the number after `after` on."""
    text, numbers = answer["content"], shown.numbers
    cell.check("stored ⊇ shown", shown.text in text if after else text.startswith(shown.text))
    ends = [event.event for event in shown.numbered if event.event in {"complete", "error"}]
    cell.check("one terminal event at most", len(ends) <= 1)
    cell.check("nothing after the end", not ends or shown.numbered[-1].event == ends[0])
    if ends and shown.terminal.get("reload"):
        # told to reload the message, instead of what the log had beyond these
        cell.check("reloads this message", shown.terminal["messageId"] == answer["id"])
        cell.check("the end comes last", numbers.pop() > max(numbers, default=after))
    expected = list(range(after + 1, after + 1 + len(numbers)))
    cell.check("numbers without a gap", numbers == expected)


async def check_settled(cell: Cell, scene: Scene, answer: dict[str, Any]) -> None:
    """What is stored was charged once, and all else came back; the session's only answer."""
    charge = await check_charged(cell, scene, answer)
    balance = await scene.student.credits()
    cell.check("nothing held", balance["held"] == 0)
    cell.check("balance", balance["available"] == scene.available - charge)


async def check_charged(cell: Cell, scene: Scene, answer: dict[str, Any]) -> int:
    """What is stored was charged once, at its price; the charge."""
    reservation = await scene.reservation(stream_of(answer))
    charge: int = answer["metadata"]["credits"]
    price = await _price(answer["metadata"], await scene.people.admin())
    hold = reservation["allocatedCredits"]
    cell.check("charge = price, ≤ hold", charge == min(price, hold))
    overrun = reservation["settlement"]["overrun"]
    cell.check("overrun on record", overrun == max(0, price - hold))
    settled = [e for e in reservation["entries"] if e["kind"] == "settle"]
    cell.check("settled once", len(settled) == 1 and settled[0]["amount"] == charge)
    return charge


async def _price(metadata: dict[str, Any], reader: Person) -> int:
    """What the stored usage costs at the model that answered."""
    rates = (await reader.call("GET", "/api/accounting/rates", 200))["rates"]
    [rate] = [one for one in rates if one["modelId"] == metadata["actualModelUsed"]]
    usage = metadata["usage"]
    read = Decimal(rate["inputRate"]) * usage["inputTokens"]
    written = Decimal(rate["outputRate"]) * usage["outputTokens"]
    price: int = math.ceil((read + written) / 1000)
    return price


async def check_goes_on(cell: Cell, scene: Scene) -> None:
    """The session takes the next message, and every balance equals the replayed ledger."""

    async def works() -> bool:
        answer = await scene.student.client.post(scene.path, json={"message": _NEXT})
        assert answer.status_code in {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}, answer.text
        return answer.status_code == httpx.codes.OK and "event: complete" in answer.text

    await cell.reach("next message works", works)
    await check_reconciled(cell, scene)


async def check_reconciled(cell: Cell, scene: Scene) -> None:
    """Every balance equals the replayed ledger."""
    admin = await scene.people.admin()
    found = await admin.call("GET", "/api/accounting/reconciliation", 200)
    assert found["discrepancies"] == []
    cell.check("reconciliation clean", found["balanced"])


def stream_of(answer: dict[str, Any]) -> str:
    """The stream that wrote a message."""
    return str(answer["metadata"]["streamingSessionId"])


def logged(platform: Platform, stream_id: str) -> Shown:
    """What the stream's log holds."""
    with redis.Redis.from_url(platform.redis.url) as client:
        entries: Any = client.xrange(f"aula:stream:{{{stream_id}}}:log")
    parser = SseParser()
    return Shown([event for _, fields in entries for event in parser.feed(fields[b"e"])])


def check_log(cell: Cell, log: Shown, text: str) -> None:
    """The log holds 1..n, ends with its only terminal event if it has one, and no other text."""
    cell.check("log without a gap", log.numbers == list(range(1, len(log.numbers) + 1)))
    terminal = [i for i, e in enumerate(log.events) if e.event in {"complete", "error"}]
    cell.check("nothing after the log's end", terminal in ([], [len(log.events) - 1]))
    cell.check("log ⊆ stored", text.startswith(log.text))
