"""What a process says of itself, and what the kernel says of it."""

import asyncio
import json
from pathlib import Path

import httpx
from fault_checks import Cell, Victim

from aula_devstack.servers.service import Service

_KIB = 1024


async def metric(victim: Victim, name: str, **labels: str) -> float:
    """What a metric says now; the name without the house's prefix."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{victim.process.url}/metrics")
    shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
    start = f"aula_{name}{{{shown}}} " if labels else f"aula_{name} "
    [value] = [line for line in answer.text.splitlines() if line.startswith(start)]
    return float(value.removeprefix(start).split()[0])


async def runs_nothing(victim: Victim) -> bool:
    """Whether the process generates nothing any more."""
    return await metric(victim, "streams_running") == 0


async def not_ready(victim: Victim) -> bool:
    """Whether the process asks to be given nothing more."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{victim.process.url}/readyz")
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE


async def check_ends(cell: Cell, victim: Victim) -> None:
    """The process ends soon, by itself and in order."""
    cell.check("ends", await asyncio.to_thread(victim.process.wait_ended, 30))
    cell.check("status 0", victim.process.exit_status == 0)


def requests_of(process: Service, route: str) -> int:
    """How many requests of a route the process has answered, as its log says."""
    lines = process.log_file.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return sum(one["event"] == "request" and one["route"] == route for one in entries)


def resident_bytes(victim: Victim) -> int:
    """The memory that the process has in use."""
    status = Path(f"/proc/{victim.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * _KIB
