"""The sending of a ConverseStream answer: order of events, pace, faults amid the stream."""

import asyncio
import time

from aula_devstack.bedrock.connection import Connection
from aula_devstack.bedrock.directives import Fault
from aula_devstack.bedrock.errors import MESSAGES
from aula_devstack.bedrock.frames import corrupted, event_frame, exception_frame, text_frame
from aula_devstack.bedrock.generation import Generation
from aula_devstack.bedrock.journal import Entry

_CONTENT_TYPE = "application/vnd.amazon.eventstream"
_MOST_FRAMES = 64
"""Frames in one write, when the sender is behind its pace."""
_LONG_WAIT = 0.25
"""Seconds from which it is worth watching for the caller's leaving meanwhile."""


async def stream(generation: Generation, *, connection: Connection, entry: Entry) -> None:
    """Sends the events in Bedrock's order; usage comes last, after `messageStop`."""
    began = time.monotonic()
    behaviour = generation.behaviour
    if behaviour.slow_start and await connection.left_within(behaviour.slow_start / 1000):
        entry.outcome, entry.left = "left", True
        return
    await connection.start(200, content_type=_CONTENT_TYPE)
    await connection.write(event_frame("messageStart", {"role": "assistant"}))
    fault = behaviour.fault
    upto = None if fault is None or fault.after_stop else fault.at
    await _deltas(generation, upto=upto, connection=connection, entry=entry)
    if connection.left:
        pass
    elif fault is not None:
        if fault.after_stop:
            await connection.write(_stop(generation))
        await _fail(fault, connection=connection, entry=entry)
    else:
        latency = round((time.monotonic() - began) * 1000)
        await connection.write(_stop(generation) + _usages(generation, latency=latency), last=True)
        entry.outcome = "complete"
    if connection.left and entry.outcome == "running":
        entry.outcome, entry.left = "left", True


async def _deltas(
    generation: Generation, *, upto: int | None, connection: Connection, entry: Entry
) -> None:
    """Sends the tokens up to a number, each at its time; who is behind sends several at once."""
    behaviour = generation.behaviour
    tokens = generation.tokens if upto is None else generation.tokens[:upto]
    size, pace = behaviour.batch, behaviour.pace / 1000
    loop = asyncio.get_running_loop()
    begun = loop.time()
    waiting: list[bytes] = []
    for start in range(0, len(tokens), size):
        late = loop.time() - (begun + start * pace)
        if late < 0 or len(waiting) >= _MOST_FRAMES:
            if waiting:
                await connection.write(b"".join(waiting))
                waiting.clear()
            if -late > _LONG_WAIT:
                await connection.left_within(-late)
            else:
                await asyncio.sleep(max(0.0, -late))
            if connection.left:
                return
        waiting.append(text_frame("".join(tokens[start : start + size])))
        entry.tokens = min(start + size, len(tokens))
    if waiting:
        await connection.write(b"".join(waiting))


def _stop(generation: Generation) -> bytes:
    return event_frame("contentBlockStop", {"contentBlockIndex": 0}) + event_frame(
        "messageStop", {"stopReason": generation.stop_reason}
    )


def _usages(generation: Generation, *, latency: int) -> bytes:
    return b"".join(
        event_frame("metadata", {"usage": usage, "metrics": {"latencyMs": latency}})
        for usage in generation.usages()
    )


async def _fail(fault: Fault, *, connection: Connection, entry: Entry) -> None:
    entry.outcome = fault.kind
    match fault.kind:
        case "stall":
            await connection.wait_until_left()
            entry.left = True
        case "cut":
            await connection.cut()
        case "error":
            entry.outcome = fault.exception
            name = fault.exception[0].upper() + fault.exception[1:]
            message = MESSAGES.get(name, "The model stopped with an error amid the stream.")
            body: dict[str, object] = {"message": message}
            if fault.exception == "modelStreamErrorException":
                body |= {"originalStatusCode": 500, "originalMessage": message}
            await connection.write(exception_frame(fault.exception, body), last=True)
        case "bad-crc":
            await connection.write(corrupted(text_frame(" spoilt")), last=True)
        case "bad-prelude":
            frame = text_frame(" spoilt")
            await connection.write(frame[:8] + bytes(4) + frame[12:], last=True)
        case _:  # "end": the body ends as it should, the message does not
            await connection.write(b"", last=True)
