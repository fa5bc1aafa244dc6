"""What chat and accounting say to one another is lost, late, or said twice."""

from collections.abc import Iterator

import httpx
import pytest
from e2e_people import People
from fault_checks import (
    Scene,
    Victim,
    check_kept,
    check_nothing_happened,
    check_unavailable,
    stream_of,
)
from fault_places import P1, P3, P6, Begin, MakeVictim

from aula_devstack.platform import Platform
from aula_devstack.testing.tcp_proxy import Strike, TcpProxy, tcp_proxy

_REPORTS = 10  # after so many in a row a client takes the other side for dead


@pytest.fixture
def wire(platform: Platform) -> Iterator[TcpProxy]:
    """The way to accounting."""
    with tcp_proxy(platform.accounting.url) as proxy:
        yield proxy


@pytest.fixture
def on_the_wire(platform: Platform, wire: TcpProxy) -> dict[str, str]:
    """What makes a chat process go that way."""
    return {"ACCOUNTING_API_URL": wire.through(platform.accounting.url)}


async def counted(platform: Platform, metric: str) -> float:
    """What accounting has counted under that name and label."""
    async with httpx.AsyncClient() as client:
        metrics = await client.get(f"{platform.accounting.url}/metrics")
    values = [line.split()[1] for line in metrics.text.splitlines() if line.startswith(metric)]
    return float(values[0]) if values else 0


async def test_answer_of_initialize_is_lost(people: People, victim: Victim, cell: Begin) -> None:
    now, scene = cell("initialize's answer lost", P1.phase), await Scene.set(people)
    P1.arm(victim, "raise")

    answer = await scene.attempt_at(victim.process.url)

    now.check("struck", victim.failpoints.struck(P1.name))
    check_unavailable(now, answer)
    await check_nothing_happened(now, scene)


async def test_answer_of_finalize_is_lost(
    platform: Platform, people: People, victim: Victim, cell: Begin
) -> None:
    now, scene = cell("finalize's answer lost", P6.phase), await Scene.set(people)
    P6.arm(victim, "raise")

    shown = await scene.ask_at(victim.process.url)

    now.check("struck", victim.failpoints.struck(P6.name))
    now.check("told as pending", shown.terminal["settlement"] == "pending")
    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("what", "phase", "metric"),
    [
        ("initialize", P1.phase, 'aula_reserves_total{verdict="reserved"}'),
        ("finalize", P6.phase, 'aula_settlements_total{kind="finalize",verdict="already"}'),
    ],
)
async def test_said_twice(
    platform: Platform,
    people: People,
    make_victim: MakeVictim,
    wire: TcpProxy,
    on_the_wire: dict[str, str],
    cell: Begin,
    what: str,
    phase: str,
    metric: str,
) -> None:
    now, scene = cell(f"{what} arrives twice", phase), await Scene.set(people)
    victim = make_victim(**on_the_wire)
    before = await counted(platform, metric)
    wire.arm(Strike.SWALLOW, f"/streaming/{what}".encode())

    shown = await scene.ask_at(victim.process.url)

    now.check("struck", wire.strikes == 1)
    times = await counted(platform, metric) - before
    now.check("said again", times == (2 if what == "initialize" else 1))
    now.check("settled", shown.terminal["settlement"] == "settled")
    answer = await check_kept(now, scene, shown, platform)
    reservation = await scene.reservation(stream_of(answer))
    held = [entry["amount"] for entry in reservation["entries"] if entry["kind"] == "hold"]
    now.check("held once", held == [reservation["allocatedCredits"]])


@pytest.mark.deep
async def test_initialize_comes_after_its_abort(
    platform: Platform,
    people: People,
    make_victim: MakeVictim,
    wire: TcpProxy,
    on_the_wire: dict[str, str],
    cell: Begin,
) -> None:
    now, scene = cell("initialize delayed past the abort", P1.phase), await Scene.set(people)
    victim = make_victim(**on_the_wire)
    refused = 'aula_reserves_total{verdict="settled"}'
    before = await counted(platform, refused)
    wire.arm(Strike.HOLD, b"/streaming/initialize")

    check_unavailable(now, await scene.attempt_at(victim.process.url))
    balance = await scene.student.credits()
    now.check("not there yet", wire.strikes == 1 and balance["held"] == 0)
    wire.release()

    async def came() -> bool:
        return await counted(platform, refused) == before + 1

    await now.reach("refused when it came", came)
    await check_nothing_happened(now, scene)


@pytest.mark.deep
async def test_no_report_of_progress_arrives(
    platform: Platform,
    people: People,
    make_victim: MakeVictim,
    wire: TcpProxy,
    on_the_wire: dict[str, str],
    cell: Begin,
) -> None:
    now, scene = cell("heartbeats all fail", P3.phase), await Scene.set(people)
    victim = make_victim(**on_the_wire, PROGRESS_SECONDS="0.02")
    wire.arm(Strike.RESET, b"/streaming/heartbeat", once=False)

    shown = await scene.ask_at(victim.process.url)

    now.check("struck many times", wire.strikes >= _REPORTS)
    now.check("settled", shown.terminal["settlement"] == "settled")
    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete")
    reservation = await scene.reservation(stream_of(answer))
    now.check("none arrived", reservation["tokensGenerated"] == 0)
