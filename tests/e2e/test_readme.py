"""The README's walk-through, run as it stands."""

import asyncio
import json
import os
import re
from pathlib import Path

from aula_devstack.platform import Platform

README = Path(__file__).parents[2] / "README.md"


async def test_walk_with_curl_works_as_written(platform: Platform) -> None:
    block = re.search(r"<!-- walk-through.*?```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None

    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", block[1],
        env={
            "PATH": os.environ["PATH"],
            "AULA": platform.url,
            "PASSWORD": platform.people.ada.password,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await shell.communicate()

    assert shell.returncode == 0, err.decode()
    events, answers = out.decode().rsplit("\n\n", 1)
    names = [line.removeprefix("event: ") for line in events.splitlines() if "event: " in line]
    assert names[0] == "start"
    assert names[-1] == "complete"
    decoder = json.JSONDecoder()
    balance, end = decoder.raw_decode(answers)
    ledger, _ = decoder.raw_decode(answers, end)
    assert balance["held"] == 0
    assert {entry["kind"] for entry in ledger["entries"]} >= {"charge", "refund"}
