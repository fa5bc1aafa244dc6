"""A reader comes back after every single event: at both processes, while it runs and after.

The numbers, names and data must be exactly what the first reader got.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from e2e_people import People, Shown, collect, eventually
from fault_checks import Cell, Scene, Victim
from fault_places import Begin

from aula_devstack.platform import Platform
from aula_devstack.sse_client import SseEvent

TOKENS = 38
QUESTION = f"Tell me a story. [[tokens={TOKENS}]] [[pace=25]]"
EVENTS = TOKENS + 3  # start, model, each token, complete
LAST_WAIT = f"pause@{TOKENS - 1}"  # before the last token


def wire(events: Iterable[SseEvent]) -> list[tuple[str, str, str]]:
    """What counts of events: id, name and data of the numbered ones."""
    return [(e.id, e.event, e.data) for e in Shown(list(events)).numbered]


@dataclass
class Resumed:
    """One reader that came back after a number, at one process."""

    number: int
    shown: Shown = field(default_factory=Shown)

    def has_exactly(self, whole: Shown) -> bool:
        """Whether it got what the first reader got after that number, and nothing else."""
        return wire(self.shown.events) == wire(whole.numbered[self.number :])

    def has_as_much(self, whole: Shown) -> bool:
        """Whether it has got as far as the first reader."""
        return len(self.shown.numbered) >= len(whole.numbered) - self.number


class Answer:
    """One answer that a first reader follows at its owner, and others at both processes."""

    def __init__(self, scene: Scene, *, owner: str, other: str) -> None:
        self.scene = scene
        self.replicas = (owner, other)
        self.whole = Shown()
        self.resumed: list[Resumed] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def path(self) -> str:
        """Where the answer is asked for and followed."""
        return f"/api/chat/sessions/{self.scene.session_id}/stream"

    def event_id(self, number: int) -> str:
        """The id of the event of that number."""
        return f"{self.whole.events[0].id.rpartition('.')[0]}.{number}"

    async def read(self, *, resuming: bool) -> None:
        """Be the first reader; if `resuming`, others come back after each number as it is out."""
        asking = self.scene.student.events(
            "POST", self.path, base_url=self.replicas[0], json={"message": QUESTION}
        )
        async with aclosing(asking) as events:
            async for event in events:
                self.whole.events.append(event)
                if resuming and event.event not in {"complete", "error"}:
                    if len(self.whole.numbered) == 1:
                        self.resume_at(0, *self.replicas)
                    self.resume_at(len(self.whole.numbered), *self.replicas)

    def resume_at(self, number: int, *replicas: str) -> None:
        """Have a reader come back at each of these processes."""
        for replica in replicas:
            reader = Resumed(number)
            self.resumed.append(reader)
            self._tasks.append(asyncio.create_task(self._follow(reader, replica)))

    async def all_have_as_much(self) -> bool:
        """Whether everyone who came back has seen what there is; fails with who failed."""
        for task in self._tasks:
            if task.done():
                task.result()
        return all(reader.has_as_much(self.whole) for reader in self.resumed)

    async def to_end(self) -> None:
        """Wait until all who came back have seen the end."""
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)

    async def rest_after(self, number: int, replica: str) -> Shown:
        """What a process tells to one that comes back after that number."""
        headers = {"Last-Event-ID": self.event_id(number)}
        return await collect(
            self.scene.student.events("GET", self.path, base_url=replica, headers=headers)
        )

    async def refusal(self, last_event_id: str, replica: str) -> tuple[int, str]:
        """The status, and the code if there is one, of an attempt to come back."""
        answer = await self.scene.student.client.get(
            f"{replica}{self.path}", headers={"Last-Event-ID": last_event_id}
        )
        return answer.status_code, answer.json()["code"] if answer.content else ""

    async def _follow(self, reader: Resumed, replica: str) -> None:
        headers = {"Last-Event-ID": self.event_id(reader.number)}
        stream = self.scene.student.events("GET", self.path, base_url=replica, headers=headers)
        async with aclosing(stream) as events:
            async for event in events:
                reader.shown.events.append(event)


async def check_each_number(cell: Cell, answer: Answer, *replicas: str) -> None:
    """From every number each of these processes tells exactly the rest."""
    for replica in replicas:
        for number in range(EVENTS):
            rest = await answer.rest_after(number, replica)
            assert wire(rest.events) == wire(answer.whole.numbered[number:]), number
        assert await answer.refusal(answer.event_id(EVENTS), replica) == (204, "")
    cell.check(
        f"exactly the rest, {EVENTS} x {len(replicas)}", len(answer.whole.numbered) == EVENTS
    )


@asynccontextmanager
async def before_its_last_token(
    answer: Answer, victim: Victim, *, resuming: bool
) -> AsyncIterator[None]:
    """The block runs while the owner waits before the last token; then all is read to the end."""
    victim.failpoints.arm("chunk", LAST_WAIT)
    reading = asyncio.create_task(answer.read(resuming=resuming))
    try:
        await asyncio.to_thread(victim.failpoints.wait_struck, "chunk")
        await eventually(lambda: _has_read(answer.whole, EVENTS - 2))
        yield
    finally:
        victim.failpoints.release("chunk")
        await asyncio.wait_for(reading, 60)


async def _has_read(shown: Shown, count: int) -> bool:
    return len(shown.numbered) >= count


async def test_while_it_runs_and_after_it_has_ended(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("resume from every number", "P7 running, ended"), await Scene.set(people)
    answer = Answer(scene, owner=victim.process.url, other=platform.chat.url)

    async with before_its_last_token(answer, victim, resuming=True):
        await eventually(answer.all_have_as_much)
        # both processes have told them everything while the answer is still being written
        now.check("it runs", not await scene.idle())
    await answer.to_end()

    wrong = [reader.number for reader in answer.resumed if not reader.has_exactly(answer.whole)]
    now.check(f"as it runs, exactly the rest, {len(answer.resumed)} readers", wrong == [])
    now.check("each number at both", len(answer.resumed) == 2 * EVENTS)
    await check_each_number(now, answer, *answer.replicas)
    [_, stored] = await scene.student.messages(scene.session_id)
    now.check("stored = shown", stored["content"] == answer.whole.text)


async def test_after_its_owner_was_killed_and_after_its_log_is_gone(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("resume from every number", "P7 owner, log gone"), await Scene.set(people)
    answer = Answer(scene, owner=victim.process.url, other=platform.chat.url)
    await answer.read(resuming=False)
    victim.process.kill()

    await check_each_number(now, answer, platform.chat.url)
    now.check("log dropped", _drop_log(platform, answer.event_id(0)) > 0)
    end, [_, stored] = answer.whole.terminal, await scene.student.messages(scene.session_id)
    for number in range(EVENTS):
        [event] = (await answer.rest_after(number, platform.chat.url)).events
        told = event.json()
        assert (event.event, event.id) == ("complete", answer.event_id(EVENTS)), number
        assert told["reload"] is True, number
        assert told["messageId"] == end["messageId"] == stored["id"], number
    now.check(f"told to reload, {EVENTS} times", stored["content"] == answer.whole.text)
    last = await answer.refusal(answer.event_id(EVENTS), platform.chat.url)
    now.check("nothing after the last", last == (204, ""))


@pytest.mark.deep
async def test_after_the_replay_time(
    platform: Platform, people: People, cell: Begin, tmp_path: Path
) -> None:
    now, scene = cell("resume from every number", "P7 replay time over"), await Scene.set(people)
    owner = platform.add_replica("chat", environment={"REPLAY_SECONDS": "1", "CHUNK_SECONDS": "0"})
    try:
        answer = Answer(scene, owner=owner.url, other=platform.chat.url)
        await answer.read(resuming=False)

        async def over() -> bool:
            got = await scene.student.client.get(f"{owner.url}{answer.path}")
            return got.status_code == 204

        await eventually(over)
        await check_each_number(now, answer, *answer.replicas)  # the log outlives the replay
        _drop_log(platform, answer.event_id(0))

        async def forgotten() -> bool:
            # the owner's memory goes at its own moment
            return len((await answer.rest_after(0, owner.url)).events) == 1

        await eventually(forgotten)
        for replica in answer.replicas:
            for number in range(EVENTS):
                [event] = (await answer.rest_after(number, replica)).events
                assert event.json()["reload"] is True, number
            assert await answer.refusal(answer.event_id(EVENTS), replica) == (204, "")
        now.check(f"told to reload, {EVENTS} x 2", answer.whole.terminal["messageId"])
    finally:
        owner.kill()


async def test_what_is_no_event_of_the_session(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("resume from no such number", "P7 running, ended"), await Scene.set(people)
    foreign = Answer(await Scene.set(people), owner=victim.process.url, other=platform.chat.url)
    [start, *_] = (
        await foreign.scene.student.ask(foreign.scene.session_id, "Hi [[tokens=2]]")
    ).events
    answer = Answer(scene, owner=victim.process.url, other=platform.chat.url)
    bad = {"x", ".", ".1", "str_x.1", start.id, f"{start.id}.1", "9" * 30}

    async def refused() -> None:
        mine = answer.event_id(1).removesuffix("1")
        for replica in answer.replicas:
            for last_event_id in {*bad, f"{mine}-1", f"{mine}1e1", mine, f"{mine}{'9' * 20}"}:
                got = await answer.refusal(last_event_id, replica)
                assert got == (400, "event_id_invalid"), (last_event_id, got)

    async with AsyncExitStack() as stack:
        async with before_its_last_token(answer, victim, resuming=False):
            await refused()
            ahead = answer.event_id(EVENTS + 9)
            at_owner = await answer.refusal(ahead, victim.process.url)
            now.check("400 for what its owner has not told", at_owner == (400, "event_id_invalid"))
            # its log may have lost a tail, so another process can't tell: it says nothing
            following = scene.student.client.stream(
                "GET", f"{platform.chat.url}{answer.path}", headers={"Last-Event-ID": ahead}
            )
            told = await stack.enter_async_context(following)
            now.check("follows elsewhere", told.status_code == 200)
        now.check("nothing told elsewhere", b"id: " not in await told.aread())
    await refused()
    now.check("400 for what is not this session's", foreign.whole.events == [])
    for replica in answer.replicas:
        assert await answer.refusal(answer.event_id(EVENTS + 9), replica) == (204, "")
    now.check("204 beyond the end", len(answer.whole.numbered) == EVENTS)


@pytest.mark.deep
async def test_when_the_log_has_lost_its_tail(
    platform: Platform, people: People, victim: Victim, cell: Begin, tmp_path: Path
) -> None:
    now, scene = (
        cell("resume from every number", "P7 tail of the log lost"),
        await Scene.set(people),
    )
    answer = Answer(scene, owner=victim.process.url, other=platform.chat.url)
    data = platform.redis.data
    victim.failpoints.arm("chunk", "pause@10")
    early = asyncio.create_task(asyncio.to_thread(victim.failpoints.wait_struck, "chunk"))

    reading = asyncio.create_task(answer.read(resuming=False))
    await early
    platform.redis.stop()
    shutil.copytree(data, tmp_path / "older")
    platform.redis.start()
    victim.failpoints.arm("chunk", "pause@25")
    known = 26  # the start, and what comes before the pause
    victim.failpoints.release("chunk")
    await asyncio.to_thread(victim.failpoints.wait_struck, "chunk")
    # all is in the log, else the owner would write it again before anybody could look
    await eventually(lambda: _has_read(answer.whole, known))
    platform.redis.stop()
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "older", data)
    platform.redis.start()
    with redis.Redis.from_url(platform.redis.url) as client:
        stream_id = answer.event_id(0).removesuffix(".0")
        left = client.xrevrange(f"aula:stream:{{{stream_id}}}:log", count=1)
    now.check("struck", int(left[0][0].split(b"-")[0]) < known)
    for number in range(known + 1):
        answer.resume_at(number, *answer.replicas)

    victim.failpoints.release("chunk")
    await asyncio.wait_for(reading, 60)
    await answer.to_end()

    wrong = [reader.number for reader in answer.resumed if not reader.has_exactly(answer.whole)]
    now.check(f"neither repeat nor gap, {len(answer.resumed)} readers", wrong == [])
    now.check("ran to its end", answer.whole.terminal["status"] == "complete")
    await check_each_number(now, answer, *answer.replicas)


def _drop_log(platform: Platform, event_id: str) -> int:
    """Delete all keys of the event's stream; how many there were."""
    stream_id = event_id.rpartition(".")[0]
    with redis.Redis.from_url(platform.redis.url) as client:
        keys = list(client.scan_iter(f"aula:stream:{{{stream_id}}}:*"))
        return int(client.delete(*keys)) if keys else 0
