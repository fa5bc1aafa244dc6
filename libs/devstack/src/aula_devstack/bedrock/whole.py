"""Converse: the answer in one piece, after the time that it takes to make."""

import time
from typing import Any

from aula_devstack.bedrock.connection import Connection
from aula_devstack.bedrock.errors import STATUS, BedrockError
from aula_devstack.bedrock.generation import Generation
from aula_devstack.bedrock.journal import Entry


async def answer_whole(generation: Generation, *, connection: Connection, entry: Entry) -> None:
    """Waits as a stream of the same pace would last, then answers; faults strike at their token."""
    began = time.monotonic()
    behaviour, fault = generation.behaviour, generation.behaviour.fault
    tokens = len(generation.tokens) if fault is None else min(fault.at, len(generation.tokens))
    if await connection.left_within((behaviour.slow_start + behaviour.pace * tokens) / 1000):
        entry.outcome, entry.left = "left", True
        return
    if fault is not None:
        entry.outcome = fault.kind
        match fault.kind:
            case "stall":
                await connection.wait_until_left()
                entry.left = True
            case "error":
                name = fault.exception[0].upper() + fault.exception[1:]
                raise BedrockError.of(name if name in STATUS else "ModelErrorException")
            case _:
                await connection.cut()
        return
    latency = round((time.monotonic() - began) * 1000)
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": [{"text": generation.text}]}},
        "stopReason": generation.stop_reason,
        "metrics": {"latencyMs": latency},
    }
    if usages := generation.usages():
        body["usage"] = usages[-1]
    entry.tokens = len(generation.tokens)
    entry.outcome = "complete"
    await connection.answer(200, body)
