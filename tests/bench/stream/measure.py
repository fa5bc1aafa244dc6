"""One measurement: the load against one contender, and what everybody used meanwhile."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.processes import TESTS, family_cpu, family_memory
from bench.stream.contenders import Contender, Endpoint
from bench.stream.load import Order, Report

OWN = "own"
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 180
_MOST_DELTAS_A_SECOND = 10_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one load did; `cpu` in seconds by who used it.

    `memory_mb` is the contender's highest, and `own_mb` how much of that no file has.
    """

    streams: int
    at_once: int
    deltas: int
    pace_ms: float
    cpu: Mapping[str, float]
    memory_mb: float
    own_mb: float
    report: Report

    @property
    def used(self) -> float:
        """CPU seconds of the contender and of all behind it."""
        return sum(self.cpu[who] for who in self.cpu if who not in {"endpoint", "generator"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What streams are asked for: so many at once, so many times over."""

    at_once: int
    deltas: int
    held: bool
    waves: int = 1
    pace_ms: float = 20


def pace_for(at_once: int, pace_ms: float) -> float:
    """The pace of so many streams: slower, where it would make over 10,000 deltas a second."""
    return max(pace_ms, 1000 * at_once / _MOST_DELTAS_A_SECOND)


def measure(
    contender: Contender,
    endpoint: Endpoint,
    shape: Shape,
    *,
    starts_a_second: float,
    requests: Sequence[str] | None = None,
    observers: Sequence[str] = (),
    observer_ports: Sequence[int] = (),
    renewal: str | None = None,
) -> Measured:
    """Have the load carried out. Lost streams are counted; AssertionError if it breaks itself."""
    if requests is None:
        requests = contender.make_requests(shape.at_once * shape.waves)
    order = Order(
        port=contender.process.port,
        endpoint=endpoint.url,
        requests=requests,
        at_once=shape.at_once,
        deltas=shape.deltas,
        pace=shape.pace_ms / 1000,
        end=contender.end,
        held=shape.held,
        starts_a_second=starts_a_second,
        patience=_PATIENCE_SECONDS,
        observers=observers,
        observer_ports=observer_ports,
        renewal=renewal,
    )
    before = _cpu(contender, endpoint)
    (memory, own), report = _carry_out(order, lambda: family_memory(contender.process))
    after = _cpu(contender, endpoint)
    cpu = {who: after[who] - before[who] for who in before}
    return Measured(
        streams=report.streams,
        at_once=shape.at_once,
        deltas=shape.deltas,
        pace_ms=shape.pace_ms,
        cpu={**cpu, "generator": report.cpu_seconds},
        memory_mb=memory,
        own_mb=own,
        report=report,
    )


def _cpu(contender: Contender, endpoint: Endpoint) -> dict[str, float]:
    parts = {who: sum(map(family_cpu, processes)) for who, processes in contender.behind.items()}
    return {OWN: family_cpu(contender.process), **parts, "endpoint": family_cpu(endpoint)}


def _carry_out(
    order: Order, memory: Callable[[], tuple[float, float]]
) -> tuple[tuple[float, float], Report]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.stream.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps(asdict(order)))
        child.stdin.close()
        child.stdin = None
        most = (0.0, 0.0)
        while child.poll() is None:
            most = max(most, memory())
            time.sleep(_LOOK_SECONDS)
        said, errors = child.communicate()
    assert child.returncode == 0, errors
    return most, Report(**json.loads(said))
