"""A real process, up and then asked to end: what runs is finished, what is new refused."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from common_builders import ask, connected, get, read_answer

SERVICE = Path(__file__).with_name("draining_service.py")


@dataclass
class Running:
    process: Process
    port: int

    async def until_logged(self, text: str) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if text in line.decode():
                return
        raise AssertionError(f"it ended without saying {text!r}")

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            return await self.process.wait()


@asynccontextmanager
async def running(**environment: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVICE),
        stdout=PIPE,
        env={**os.environ, "PORT": "0", "AULA_ENV": "development", **environment},
    )
    try:
        async with asyncio.timeout(20):
            assert process.stdout is not None
            while True:
                line = (await process.stdout.readline()).decode()
                assert line, "it ended before it listened"
                if match := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                    break
        yield Running(process, int(match[1]))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_that_serves_is_done_with_its_start() -> None:
    async with asyncio.timeout(20), running() as it:
        _, _, body = await ask(it.port, get("/left-of-the-start"))
        left = json.loads(body)
        assert not left["source"]
        assert left["frozen"] > 10_000
        assert left["middle"] > 10, "Python's own: a full one stops hundreds of streams too often"


async def test_sigterm_finishes_what_runs_refuses_what_comes_and_ends_with_0() -> None:
    async with (
        asyncio.timeout(20),
        running() as it,
        connected(it.port, get("/stream")) as stream,
        connected(it.port, get("/slow")) as slow,
    ):
        await stream.readuntil(b'data: "start"\n\n')
        assert (await ask(it.port, get("/readyz")))[0] == 200

        it.process.send_signal(signal.SIGTERM)
        await it.until_logged("drain started")
        assert (await ask(it.port, get("/readyz")))[0] == 503
        assert (await ask(it.port, get("/livez")))[0] == 200
        status, headers, _ = await ask(it.port, get("/slow"))
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")

        assert b'data: "end"' in await stream.readuntil(b"0\r\n\r\n")
        assert (await read_answer(slow))[2] == b'{"answer":"whole"}'
        await it.until_logged("lifespan ended")
        assert await it.ended() == 0


async def test_a_second_sigterm_ends_it_at_once() -> None:
    async with (
        asyncio.timeout(20),
        running() as it,
        connected(it.port, get("/endless")) as endless,
        connected(it.port, get("/slow")),
    ):
        await endless.readuntil(b'data: "start"\n\n')
        it.process.send_signal(signal.SIGTERM)
        await it.until_logged("drain started")
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await it.ended() == 0


async def test_the_deadline_ends_a_drain_that_would_not() -> None:
    async with (
        asyncio.timeout(20),
        running(DRAIN_DEADLINE="0.1") as it,
        connected(it.port, get("/stream")) as stream,
    ):
        await stream.readuntil(b'data: "start"\n\n')
        it.process.send_signal(signal.SIGTERM)
        await it.until_logged("drain deadline passed")
        assert await it.ended() == 0


async def test_an_endless_stream_does_not_hold_the_drain() -> None:
    async with (
        asyncio.timeout(20),
        running() as it,
        connected(it.port, get("/endless")) as endless,
    ):
        await endless.readuntil(b'data: "start"\n\n')
        it.process.send_signal(signal.SIGINT)
        await it.until_logged("drain ended")
        assert await it.ended() == 0


async def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    async with running() as first:
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SERVICE),
            stdout=PIPE,
            env={**os.environ, "PORT": str(first.port), "AULA_ENV": "development"},
        )
        output, _ = await asyncio.wait_for(second.communicate(), 20)
        assert second.returncode not in {0, None}
        assert "address already in use" in output.decode()
