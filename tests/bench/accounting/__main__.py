"""`python -m bench.accounting`: what reserving and settling costs, as ratios within one run."""

import asyncio
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from bench.accounting.contenders import USERS, Contender, Measured, prepare, started
from bench.processes import RESULTS
from rich.console import Console
from rich.table import Table

_out = Console(highlight=False, soft_wrap=True, width=150)
_TARGETS = {("spread", 1): 0.5, ("spread", 8): 0.65, ("spread", 32): 0.9}
_TARGETS |= {("one user", 8): 1.5, ("one user", 32): 2.5}
_WORKLOADS = {"spread": USERS, "one user": 1}
_WARM_UP_SECONDS = 1.5

Results = dict[tuple[str, int, str], list[Measured]]


def bench(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved; medians are shown.")] = 3,
    clients: Annotated[list[int] | None, typer.Option(help="Default: 1, 8 and 32.")] = None,
) -> None:
    """Compare the service over HTTP with pgbench and with the ORM; then reconcile it all.

    It measures and judges nothing: a slow machine fails nothing, an unbalanced ledger does.
    """
    with started(lambda url: asyncio.run(prepare(url))) as (service, contenders):
        results = _measure(contenders, clients or [1, 8, 32], rounds=rounds, seconds=seconds)
        _out.print(_table(results))
        _write(results)
        _out.print(service.run_command("reconcile", timeout=600))


def _measure(
    contenders: Sequence[Contender], clients: Sequence[int], *, rounds: int, seconds: float
) -> Results:
    results: Results = {}
    for contender in contenders:
        contender.run(clients=max(clients), seconds=_WARM_UP_SECONDS, users=USERS)
    for number in range(rounds):
        for workload, users in _WORKLOADS.items():
            for count in clients:
                _out.print(f"round {number + 1} of {rounds}: {workload}, {count} clients")
                # each round begins with another one, so that none always follows the same
                turn = number % len(contenders)
                for contender in (*contenders[turn:], *contenders[:turn]):
                    done = contender.run(clients=count, seconds=seconds, users=users)
                    results.setdefault((workload, count, contender.name), []).append(done)
    return results


def _ratio(results: Results, case: tuple[str, int], name: str) -> float:
    """The median over the rounds of this contender's rate to pgbench's in the same round."""
    best = results[*case, "pgbench"]
    mine = results[*case, name]
    pairs = zip(mine, best, strict=True)
    return statistics.median(a.pairs_per_second / b.pairs_per_second for a, b in pairs)


def _table(results: Results) -> Table:
    table = Table(title="reserve + settle: pairs a second to pgbench's, CPU in µs a pair")
    for column in (
        "users", "clients", "by", "ratio", "target", "pairs/s", "database", "service",
        "generator", "generator, of a core", "median ms",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in {"users", "by"} else "right")
    for (workload, count, name), runs in results.items():
        target = _TARGETS.get((workload, count)) if name == "service" else None
        median_ms = _median(runs, "median_ms") if runs[0].median_ms is not None else None
        table.add_row(
            workload,
            str(count),
            name,
            f"{_ratio(results, (workload, count), name):.2f}",
            f"{target:.2f}" if target else "",
            f"{_median(runs, 'pairs_per_second'):.0f}",
            f"{_median(runs, 'database_cpu'):.0f}",
            f"{_median(runs, 'service_cpu'):.0f}",
            f"{_median(runs, 'generator_cpu'):.0f}",
            f"{_median(runs, 'generator_share'):.2f}",
            f"{median_ms:.1f}" if median_ms is not None else "",
        )
    return table


def _median(runs: Sequence[Measured], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def _write(results: Results) -> None:
    cases: list[dict[str, Any]] = [
        {
            "users": workload,
            "clients": count,
            "by": name,
            "ratio": _ratio(results, (workload, count), name),
            "target": _TARGETS.get((workload, count)) if name == "service" else None,
            "runs": [asdict(run) for run in runs],
        }
        for (workload, count, name), runs in results.items()
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {"at": datetime.now(UTC).isoformat(), "cases": cases}
    (RESULTS / "accounting.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(bench)
