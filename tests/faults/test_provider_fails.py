"""The provider refuses, stalls, breaks off, or counts nonsense, at a phase of a stream."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from e2e_people import People
from fault_checks import Scene, Victim, check_kept, stream_of
from fault_places import Begin
from fault_provider import Attempts
from fault_victims import victim_of

from aula_common.ids import new_id
from aula_devstack.platform import Platform

SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TOKENS = 40


@pytest.fixture(scope="module")
def patience_lost() -> dict[str, str]:
    """How a process is started that waits for no provider long."""
    return {"PROVIDER_FIRST_TEXT_SECONDS": "2", "PROVIDER_IDLE_SECONDS": "2"}


@pytest.fixture(scope="module")
def impatient(platform: Platform, patience_lost: dict[str, str]) -> Iterator[Victim]:
    """A chat process for all cells in which a model answers in the end."""
    with victim_of(platform, **patience_lost) as made:
        yield made


async def told(scene_people: People, faults: str) -> tuple[Scene, str]:
    """A scene whose story has these faults, and its nonce."""
    nonce = new_id("cell")
    faults = faults.replace("NONCE", nonce)
    story = f"Tell me a story. {faults} [[tokens={TOKENS} pace=5 nonce={nonce}]]"
    return await Scene.set(scene_people, story=story), nonce


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("throttled times=2", ["ThrottlingException"] * 2),
        pytest.param("overloaded times=1", ["ServiceUnavailableException"], marks=pytest.mark.deep),
        pytest.param("drop times=1", ["drop"], marks=pytest.mark.deep),
        pytest.param("hang times=1", ["hang"], marks=pytest.mark.deep),
        pytest.param("stall@0 times=1", ["stall"], marks=pytest.mark.deep),
        pytest.param("cut@0 times=1", ["cut"], marks=pytest.mark.deep),
        pytest.param("end@0 times=1", ["end"], marks=pytest.mark.deep),
        pytest.param("error@0 times=1", ["modelStreamErrorException"], marks=pytest.mark.deep),
    ],
)
async def test_refusal_before_the_first_token_is_retried(
    platform: Platform, people: People, impatient: Victim, cell: Begin, fault: str, seen: list[str]
) -> None:
    now = cell(f"provider: {fault}", "P2 asked")
    scene, nonce = await told(people, f"[[{fault} nonce=NONCE]]")

    shown = await scene.ask_at(impatient.process.url)

    attempts = await Attempts.of(platform, nonce)
    now.check("struck", attempts.outcomes == [*seen, "complete"])
    now.check("the model asked for", attempts.models == [SONNET])
    now.check("one end", shown.terminal["status"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    now.check("usage is the provider's", answer["metadata"]["usage"]["outputTokens"] == TOKENS)


@pytest.mark.deep
@pytest.mark.parametrize("fault", ["throttled", "overloaded", "cut@0", "stall@0"])
async def test_fallback_answers_and_is_charged(
    platform: Platform,
    people: People,
    patience_lost: dict[str, str],
    cell: Begin,
    fault: str,
) -> None:
    now = cell(f"provider: {fault} by one model", "P2 asked")
    scene, nonce = await told(people, f"[[{fault} model=anthropic.claude-3-sonnet nonce=NONCE]]")

    with victim_of(platform, **patience_lost) as victim:
        shown = await scene.ask_at(victim.process.url)

    attempts = await Attempts.of(platform, nonce)
    now.check("struck", len(attempts.outcomes) > 1 and attempts.outcomes[-1] == "complete")
    now.check("asked in order", attempts.models == [SONNET, HAIKU])
    now.check("one end", shown.terminal["status"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    now.check("told which model", shown.events[1].json()["fallbackApplied"] is True)
    now.check("stored which model", answer["metadata"]["actualModelUsed"] == HAIKU)


@pytest.mark.deep
@pytest.mark.parametrize("fault", ["throttled", "overloaded", "drop", "cut@0", "error@0"])
async def test_nothing_is_charged_when_no_model_answers(
    platform: Platform,
    people: People,
    patience_lost: dict[str, str],
    cell: Begin,
    fault: str,
) -> None:
    now = cell(f"provider: {fault} by all models", "P2 asked")
    scene, nonce = await told(people, f"[[{fault} nonce=NONCE]]")

    with victim_of(platform, **patience_lost) as victim:
        shown = await scene.ask_at(victim.process.url)

    attempts = await Attempts.of(platform, nonce)
    now.check("struck", attempts.models == [SONNET, HAIKU])
    now.check("clear end", shown.terminal["code"] == "PROVIDER_UNAVAILABLE")
    answer = await check_kept(now, scene, shown, platform)
    now.check("nothing charged", answer["metadata"]["credits"] == 0)
    now.check("no text", answer["content"] == shown.text == "")


@pytest.mark.parametrize(
    "fault",
    [
        "cut@20",
        pytest.param("stall@20", marks=pytest.mark.deep),
        pytest.param("end@20", marks=pytest.mark.deep),
        pytest.param("error@20", marks=pytest.mark.deep),
        pytest.param("error@20 exception=throttlingException", marks=pytest.mark.deep),
        pytest.param("bad-crc@20", marks=pytest.mark.deep),
    ],
)
async def test_answer_breaks_off(
    platform: Platform, people: People, impatient: Victim, cell: Begin, fault: str
) -> None:
    now = cell(f"provider: {fault}", "P3 amid tokens")
    scene, nonce = await told(people, f"[[{fault}]]")

    shown = await scene.ask_at(impatient.process.url)

    attempts = await Attempts.of(platform, nonce)
    now.check("struck", len(attempts.requests) == 1 and attempts.outcomes != ["complete"])
    now.check("clear end", shown.terminal["code"] == "STREAM_ERROR")
    answer = await check_kept(now, scene, shown, platform)
    now.check("interrupted", answer["status"] == "interrupted")
    now.check("all that came is kept", answer["content"] == shown.text != "")
    now.check("charged by estimate", answer["metadata"]["usage"]["estimated"] is True)
    now.check("something charged", answer["metadata"]["credits"] > 0)


@pytest.mark.deep
@pytest.mark.parametrize("fault", ["stall@stop", "cut@stop", "end@stop", "error@stop", "no-usage"])
async def test_usage_never_comes(
    platform: Platform, people: People, impatient: Victim, cell: Begin, fault: str
) -> None:
    now = cell(f"provider: {fault}", "P4 no usage")
    scene, nonce = await told(people, f"[[{fault}]]")

    shown = await scene.ask_at(impatient.process.url)

    attempts = await Attempts.of(platform, nonce)
    [outcome] = attempts.outcomes
    now.check("struck", (outcome == "complete") == (fault == "no-usage"))
    now.check("the answer is whole", shown.terminal["status"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    now.check("complete", answer["status"] == "complete" and answer["content"] == shown.text)
    now.check("charged by estimate", answer["metadata"]["usage"]["estimated"] is True)
    now.check("something charged", answer["metadata"]["credits"] > 0)


@dataclass(frozen=True)
class Counted:
    """Usage that a provider reports, and what of it is believed: in and out; None: nothing."""

    directive: str
    believed: tuple[int, int] | None
    beyond_hold: bool = False

    def __str__(self) -> str:
        return self.directive


@pytest.mark.parametrize(
    "usage",
    [
        Counted("usage=10:1099511627776", (10, 10_000_000), beyond_hold=True),
        pytest.param(
            Counted("usage=1099511627776:10", (10_000_000, 10), beyond_hold=True),
            marks=pytest.mark.deep,
        ),
        pytest.param(Counted("usage=700:2000", (700, 2000)), marks=pytest.mark.deep),
        pytest.param(Counted("usage=0:0", (0, 0)), marks=pytest.mark.deep),
        pytest.param(Counted("usage=-5:10", None), marks=pytest.mark.deep),
        pytest.param(Counted("usage=10:-5", None), marks=pytest.mark.deep),
        pytest.param(Counted("usage-absurd", None), marks=pytest.mark.deep),
    ],
    ids=str,
)
async def test_usage_is_absurd(
    platform: Platform, people: People, impatient: Victim, cell: Begin, usage: Counted
) -> None:
    now = cell(f"provider: {usage}", "P4 usage in")
    scene, nonce = await told(people, f"[[{usage}]]")

    shown = await scene.ask_at(impatient.process.url)

    now.check("struck", (await Attempts.of(platform, nonce)).outcomes == ["complete"])
    now.check("one end", shown.terminal["status"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    stored = answer["metadata"]["usage"]
    now.check("believed or not", stored["estimated"] is (usage.believed is None))
    if usage.believed is not None:
        read, written = usage.believed
        now.check(
            "usage on record", (stored["inputTokens"], stored["outputTokens"]) == (read, written)
        )
    charge = answer["metadata"]["credits"]
    now.check("zero is zero", (charge == 0) is (usage.believed == (0, 0)))
    reservation = await scene.reservation(stream_of(answer))
    overrun = reservation["settlement"]["overrun"]
    now.check("overrun flagged", (overrun > 0) is usage.beyond_hold)
    if usage.beyond_hold:
        now.check("clamped to the hold", charge == reservation["allocatedCredits"])


@pytest.mark.deep
async def test_usage_comes_twice(
    platform: Platform, people: People, impatient: Victim, cell: Begin
) -> None:
    now = cell("provider: usage twice", "P4 usage in")
    scene, nonce = await told(people, "[[usage-twice]]")

    shown = await scene.ask_at(impatient.process.url)

    now.check("struck", (await Attempts.of(platform, nonce)).outcomes == ["complete"])
    now.check("one end", shown.terminal["status"] == "complete")
    answer = await check_kept(now, scene, shown, platform)
    now.check("counted once", answer["metadata"]["usage"]["outputTokens"] == TOKENS)
