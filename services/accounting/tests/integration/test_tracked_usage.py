"""Usage outside streams: reserved and settled in one call, once for its key."""

import asyncio
from typing import Any

import pytest
from accounting_builders import OPUS, SONNET, Bank

from aula_accounting.domain.errors import (
    CreditsHeldError,
    InsufficientCreditsError,
    QuotaExceededError,
    UnpricedModelError,
)
from aula_accounting.domain.quotas import (
    QuotaHolder,
    QuotaKey,
    QuotaMetric,
    QuotaPeriod,
    QuotaScope,
)
from aula_accounting.domain.usage import TrackedUsage, UsageReceipt
from aula_common.errors import IdempotencyKeyReusedError


def _usage(**changes: Any) -> TrackedUsage:
    fields: dict[str, Any] = {
        "user_id": "usr_a",
        "model_id": SONNET,
        "input_tokens": 1000,
        "output_tokens": 0,
        "unsplit_tokens": 0,
        "compute_seconds": 0,
        "chat_session_id": None,
        "team_id": None,
        "tier": None,
        **changes,
    }
    return TrackedUsage(**fields)


async def _track(bank: Bank, key: str = "k", **changes: Any) -> UsageReceipt:
    return await bank.context.usage.track(_usage(**changes), service_id="files", key=key)


async def test_usage_is_charged_at_its_price_with_every_entry(bank: Bank) -> None:
    await bank.give("usr_a", 3)
    receipt = await _track(bank)
    assert (receipt.credits, receipt.at) == (3, bank.clock.now())
    assert [entry for entry in await bank.entries("usr_a") if entry[0] != "allocate"] == [
        ("hold", 3),
        ("charge", 3),
        ("settle", 3),
    ]
    reservation, _ = await bank.context.streaming.get_session(receipt.session_id, user_id="usr_a")
    assert reservation.service_id == "files"
    assert reservation.settlement is not None
    assert (reservation.settlement.input_tokens, reservation.settlement.overrun) == (1000, 0)
    assert await bank.discrepancies() == []


async def test_usage_is_taken_from_what_expires_first_across_allocations(bank: Bank) -> None:
    lasting = await bank.give("usr_a", 10)
    expiring = await bank.give("usr_a", 2, lives=60)
    await _track(bank)
    assert (await bank.allocation(expiring.id)).charged == 2
    assert (await bank.allocation(lasting.id)).charged == 1


async def test_the_same_key_charges_once_a_day_later_too(bank: Bank) -> None:
    await bank.give("usr_a", 100)
    first = await asyncio.gather(*(_track(bank) for _ in range(10)))
    assert all(one == first[0] for one in first)
    bank.clock.advance(86_400)
    assert await _track(bank) == first[0]
    with pytest.raises(IdempotencyKeyReusedError):
        await _track(bank, input_tokens=1001)
    assert (await bank.context.credits.get_balance("usr_a")).available == 97


async def test_what_is_refused_charges_nothing_and_leaves_the_key_free(bank: Bank) -> None:
    await bank.give("usr_a", 4)
    with pytest.raises(InsufficientCreditsError):
        await _track(bank, model_id=OPUS)
    with pytest.raises(UnpricedModelError):
        await _track(bank, model_id="no.such-model")
    await bank.reserve("usr_a", "str_1")
    with pytest.raises(CreditsHeldError) as held:
        await _track(bank)
    assert (held.value.extra["required"], held.value.extra["bufferRequired"]) == (3, 0)
    await bank.abort("usr_a", "str_1")
    assert (await _track(bank)).credits == 3


async def test_a_use_outside_streams_is_no_running_stream(bank: Bank) -> None:
    await bank.give("usr_a", 1000)
    for number in range(5):
        await bank.reserve("usr_a", f"str_{number}")
    assert (await _track(bank)).credits == 3


async def test_a_use_outside_streams_counts_in_quotas_but_is_no_message(bank: Bank) -> None:
    quantities = {
        metric: 10_000 if metric is QuotaMetric.TOKENS else 10
        for metric in QuotaMetric
        if metric is not QuotaMetric.SESSIONS
    }
    await bank.context.quotas.put(
        [
            (
                QuotaKey(
                    scope=QuotaScope.TIER,
                    subject_id="basic",
                    metric=metric,
                    period=QuotaPeriod.MONTH,
                ),
                quantity,
            )
            for metric, quantity in quantities.items()
        ],
        actor_id="admin",
    )
    await bank.give("usr_a", 1000)
    await _track(bank, tier="basic", compute_seconds=7, output_tokens=500)
    holder = QuotaHolder(user_id="usr_a", tier="basic", team_ids=())
    standing = await bank.context.quotas.get_standing(holder)
    assert {one.metric.value: one.used for one in standing} == {
        "messages": 0,
        "tokens": 1500,
        "computeSeconds": 7,
        "credits": 5,
    }
    with pytest.raises(QuotaExceededError):
        await _track(bank, "k2", tier="basic", compute_seconds=4)
    await _track(bank, "k2", tier="pro", compute_seconds=4)
